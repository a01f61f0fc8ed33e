"""Collections of images by URL: which pieces there are, and reading a range of a piece.

A source is a folder tree of image files, tar archives, Parquet files, an LMDB, or a list of URLs;
`open_source` tells which by looking at the content.
"""

from iem_batch.sources.folder import FolderSource
from iem_batch.sources.open import open_source
from iem_batch.sources.protocol import (
    MAX_FILE_BYTES,
    Count,
    Entry,
    IgnoredFile,
    RawImage,
    Reader,
    Source,
    UnreadableImage,
)
from iem_batch.storage.settings import WebSettings

__all__ = [
    "MAX_FILE_BYTES",
    "Count",
    "Entry",
    "FolderSource",
    "IgnoredFile",
    "RawImage",
    "Reader",
    "Source",
    "UnreadableImage",
    "WebSettings",
    "open_source",
]
