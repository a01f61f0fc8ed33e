"""The folder a corpus goes to: SegNet's own, or one for other tools."""

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary
from iem_batch.steps.export.card import Origin, corpus_card
from iem_batch.steps.export.formats import FORMATS
from iem_batch.steps.export.settings import ExportSettings


def corpus_place(job: Job) -> RunFolder:
    """Say where a corpus goes: into the round itself, or to a folder of its own."""
    settings = job.settings.export
    if settings == settings.for_training:
        return job.place
    if settings.to is not None:
        return RunFolder(settings.to)
    return job.place.below(f"exports/{settings.format}-{settings.size}-{settings.masks}")


def complete_corpus(
    place: RunFolder, settings: ExportSettings, origin: Origin, summary: Summary
) -> dict[str, str]:
    """Write the files about a whole corpus: those of its format, and the card that explains it.

    Args:
        place: the folder, all of whose files are written.
        settings: what the corpus is.
        origin: what it was made of.
        summary: of its step, without these files.

    Returns:
        Name of each file -> its SHA-256.
    """
    complete = FORMATS[settings.format].complete()
    written = {} if complete is None else complete(place, summary.facts["splits"])
    text = corpus_card(settings, origin, summary)
    return written | {"README.md": place.write_bytes("README.md", text.encode())}
