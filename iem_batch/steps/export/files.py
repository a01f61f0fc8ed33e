"""Which pairs make which file of a corpus."""

import functools
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from iem_batch.run.file_names import natural_names
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import Plan
from iem_batch.run.sampling import draw
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.topk.selection import TABLE

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
    """Schema SELECTION, and name: that of `natural_names`."""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The selection that a corpus is cut out of."""

    place: RunFolder
    """Where it lies."""
    digest: str
    """Of its files."""
    pairs_per_file: int
    val_share: float
    """Share of the images set apart for validation."""


@functools.lru_cache(2)
def corpus_files(selected: Selected) -> tuple[CorpusFile, ...]:
    """Cut a selection into files; it is read once in a process, however many files there are.

    The files of the training split come first. In each split the pairs stand in the order of the
    plan's shards, so that each of these is read by one file or two.
    """
    selection = selected.place.read_table(TABLE).sort_by(
        [("shard", "ascending"), ("rank", "ascending")]
    )
    ids = selection["image_id"].to_pylist()
    selection = selection.append_column("name", pa.array(natural_names(ids), pa.string()))
    is_val = np.array([draw(image_id) < selected.val_share for image_id in ids], dtype=np.bool_)
    files: list[CorpusFile] = []
    first = 0
    for split, chosen in zip(SPLITS, (~is_val, is_val), strict=True):
        rows = selection.filter(pa.array(chosen))
        for number, start in enumerate(range(0, len(rows), selected.pairs_per_file)):
            part = rows.slice(start, selected.pairs_per_file)
            files.append(CorpusFile(split=split, number=number, first=first, rows=part))
            first += len(part)
    return tuple(files)


def pairs_per_file(plan: Plan, settings: ExportSettings, size_px: int) -> int:
    """Tell how many pairs make a file.

    Args:
        plan: of the run, which tells the mean size of the images.
        settings: what is asked for.
        size_px: side of the engine's square.
    """
    if settings.size == "original":
        pair_bytes = plan.num_bytes / plan.num_images
        if settings.file_mb is None:
            return min(settings.pairs_per_file, _count(MAX_FILE_MB, pair_bytes))
        return _count(settings.file_mb, pair_bytes)
    if settings.file_mb is None:
        return settings.pairs_per_file
    # A PNG of a photograph is seldom much smaller than its pixels.
    return _count(settings.file_mb, _CHANNELS * size_px**2)


def _count(file_mb: float, pair_bytes: float) -> int:
    return max(1, round(file_mb * 1e6 / max(pair_bytes, 1)))
