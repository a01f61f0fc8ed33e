"""The folder a corpus goes to when it is not RUN/corpus: nobody's files are overwritten.

Beside the corpus it holds _run/, with what the corpus was made from and the commit marks.
"""

from typing import Any

from iem_batch.data import run_folder
from iem_batch.data.card import write_corpus_card
from iem_batch.data.formats import write_annotations
from iem_batch.data.read_ahead import map_ahead
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import RunMismatchError
from iem_batch.stages.corpus.files import SPLITS
from iem_batch.stages.corpus.settings import ExportSettings

STEP = "corpus"


def corpus_target(run: RunFolder, settings: ExportSettings) -> RunFolder:
    """Say where a corpus goes: the run itself, or a folder of its own."""
    if settings == settings.for_training:
        return run
    name = f"exports/{settings.format}-{settings.size}-{settings.masks}"
    return RunFolder(settings.to if settings.to is not None else run.url_of(name))


def require_own(target: RunFolder) -> None:
    """Check that a folder is empty or holds a corpus that was written here before.

    Raises:
        RunMismatchError: it holds something else.
    """
    if target.is_empty() or target.exists(run_folder.step_record(STEP)):
        return
    raise RunMismatchError(
        f"{target.url} is not empty and was not written by `iem-batch export`; nothing in it is "
        "overwritten, so give another folder as --export.to"
    )


def clear(target: RunFolder) -> None:
    """Delete a corpus, and nothing that is not of it."""
    for mark in target.each_mark(STEP, sorted(target.committed(STEP))):
        list(map_ahead(target.delete, mark["files"]))
    for split in SPLITS:
        target.delete(f"annotations/instances_{split}.json")
    target.delete(run_folder.README)
    target.delete("_run")


def finish_target(target: RunFolder, settings: ExportSettings, splits: list[str]) -> None:
    """Write what stands for a whole corpus: COCO's annotations, and the card that explains it.

    Args:
        target: the folder, all of whose files are written.
        settings: what the corpus is.
        splits: those of `SPLITS` that have files.
    """
    if settings.format == "coco":
        write_annotations(target, splits)
    write_corpus_card(target, settings.format, settings.size, splits)


def num_turned(target: RunFolder) -> int:
    """Count the masks of a corpus whose sides were swapped, to be called as in the others."""
    marks = target.each_mark(STEP, sorted(target.committed(STEP)))
    return sum(mark["turned"] for mark in marks)


def lost_pairs(target: RunFolder) -> list[dict[str, Any]]:
    """List the selected images that are not in a corpus, and why."""
    marks = target.each_mark(STEP, sorted(target.committed(STEP)))
    return [row for mark in marks for row in mark["rejected"]]
