"""The formats of a corpus: each lays out pairs as files that other tools open."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from iem_batch.steps.export.formats.coco import coco_files, write_annotations
from iem_batch.steps.export.formats.image_folder import folder_files
from iem_batch.steps.export.formats.pair import BACKGROUND, FOREGROUND, IGNORE, Pair, Place
from iem_batch.steps.export.formats.parquet import parquet_files
from iem_batch.steps.export.formats.webdataset import webdataset_files

__all__ = [
    "BACKGROUND",
    "FOREGROUND",
    "FORMATS",
    "IGNORE",
    "PASSED_ON",
    "Pair",
    "Place",
    "write_annotations",
]

FORMATS: dict[str, Callable[[Sequence[Pair], Place], dict[str, pa.Table | bytes]]] = {
    "parquet": parquet_files,
    "webdataset": webdataset_files,
    "coco": coco_files,
    "folder": folder_files,
}

PASSED_ON = {
    "parquet": frozenset({"JPEG", "PNG", "WEBP"}),
    "webdataset": frozenset({"JPEG", "PNG"}),
    "coco": frozenset({"JPEG", "PNG", "WEBP"}),
    "folder": frozenset({"JPEG", "PNG", "WEBP"}),
}
"""The encodings that the tools of a format read; an image of another becomes a PNG."""
