"""An image and its mask, as every format of a corpus takes them. H, W = pixels of the image."""

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.images.png import encode_pixels
from iem_batch.run.file_names import safe_stem
from iem_batch.sources.protocol import NO_COLUMNS


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its mask."""

    ABOUT: ClassVar = ("image_id", "uri", "error", "rank")
    """Columns of what is told of a pair beside its pictures."""

    number: int
    """Place in the whole corpus, from 0."""
    image_id: str
    name: str
    """Without extension, of this image and no other of the corpus."""
    uri: str
    image: bytes
    """Encoded."""
    extension: str
    """What fits the encoding: jpg, png or webp."""
    label_HW: NDArray[np.uint8]
    """BACKGROUND, FOREGROUND, and VOID beyond what the engine saw."""
    error: float
    rank: int
    kept: dict[str, Any] = field(default_factory=dict)
    """Name -> value of the columns that are kept of its source."""
    unfit: str = ""
    """Characters that the tools of a format cannot hold in a name; see `safe_stem`."""

    @property
    def key(self) -> str:
        """The path of a file without extension, for this image and no other."""
        return safe_stem(self.name, self.unfit)

    @property
    def file_name(self) -> str:
        """The path of the image's file."""
        return f"{self.key}.{self.extension}"

    @property
    def about(self) -> dict[str, Any]:
        """What is told of a pair beside its pictures, as JSON can hold it."""
        kept = {name: _plain(value) for name, value in self.kept.items()}
        return {name: getattr(self, name) for name in self.ABOUT} | kept

    @property
    def label_png(self) -> bytes:
        """An 8-bit grey PNG of the label."""
        return encode_pixels(self.label_HW)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where some pairs go."""

    split: str
    """train or val."""
    stem: str
    """Name for a file that holds them, without extension, such as train-00000."""
    has_margins: bool
    """Whether there may be something to ignore in their labels."""
    kept: pa.Schema = NO_COLUMNS
    """The columns of `Pair.kept`."""

    @property
    def about(self) -> list[str]:
        """The names in `Pair.about`."""
        return [*Pair.ABOUT, *self.kept.names]


def _plain(value: object) -> Any:
    """Give what JSON has for a value; all else becomes text."""
    return json.loads(json.dumps(value, default=str))
