"""Which pairs make which file of a corpus."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from iem_batch.data import run_folder
from iem_batch.data.plan import read_plan
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.sampling import draw
from iem_batch.stages.corpus.settings import ExportSettings

SPLITS = ("train", "val")

MAX_FILE_MB = 256.0
"""Of original images, where the settings name no size: a file of them is in memory as a whole."""

_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """The pairs that one shard of the step writes."""

    split: str
    number: int
    """Place among the files of its split."""
    first: int
    """Place of its first pair in the whole corpus."""
    rows: pa.Table
    """Schema SELECTION."""


def corpus_files(run: RunFolder, settings: ExportSettings) -> list[CorpusFile]:
    """Cut the selection of a run into files.

    The files of the training split come first. In each split the pairs stand in the order of the
    plan's shards, so that each of these is read by one file or two.
    """
    selection = run.read_table(run_folder.TOPK).sort_by(
        [("shard", "ascending"), ("rank", "ascending")]
    )
    is_val = np.array(
        [draw(image_id) < settings.val_share for image_id in selection["image_id"].to_pylist()],
        dtype=np.bool_,
    )
    pairs_per_file = _pairs_per_file(run, settings)
    files: list[CorpusFile] = []
    first = 0
    for split, chosen in zip(SPLITS, (~is_val, is_val), strict=True):
        rows = selection.filter(pa.array(chosen))
        for number, start in enumerate(range(0, len(rows), pairs_per_file)):
            part = rows.slice(start, pairs_per_file)
            files.append(CorpusFile(split=split, number=number, first=first, rows=part))
            first += len(part)
    return files


def num_corpus_files(run: RunFolder, settings: ExportSettings) -> int:
    """Count the files of RUN/corpus, where the settings may ask for another corpus as well."""
    return len(corpus_files(run, settings.for_training))


def _pairs_per_file(run: RunFolder, settings: ExportSettings) -> int:
    if settings.size == "original":
        plan = read_plan(run)
        pair_bytes = plan.num_bytes / plan.num_images
        if settings.file_mb is None:
            return min(settings.pairs_per_file, _count(MAX_FILE_MB, pair_bytes))
        return _count(settings.file_mb, pair_bytes)
    if settings.file_mb is None:
        return settings.pairs_per_file
    size_px = run.read_json(run_folder.step_record("masks"))["decode"]["size_px"]
    # A PNG of a photograph is seldom much smaller than its pixels.
    return _count(settings.file_mb, _CHANNELS * size_px**2)


def _count(file_mb: float, pair_bytes: float) -> int:
    return max(1, round(file_mb * 1e6 / max(pair_bytes, 1)))
