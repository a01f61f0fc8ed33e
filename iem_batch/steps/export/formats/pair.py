"""An image and its mask, as every format of a corpus takes them. H, W = pixels of the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.images.geometry import UNSEEN
from iem_batch.images.png import encode_pixels
from iem_batch.run.file_names import safe_file_name

BACKGROUND, FOREGROUND, IGNORE = 0, 1, UNSEEN
"""The values of a label: IGNORE is what the engine did not see of an image, beyond its crop."""

MAX_NAME_BYTES = 100
"""What a tar file has room for without an extra header, and every file system."""

_LONGEST_EXTENSION = "mask.png"


@dataclass(frozen=True, kw_only=True)
class Pair:
    """An image and its mask."""

    number: int
    """Place in the whole corpus, from 0."""
    image_id: str
    uri: str
    image: bytes
    """Encoded."""
    extension: str
    """What fits the encoding: jpg, png or webp."""
    label_HW: NDArray[np.uint8]
    """BACKGROUND, FOREGROUND and IGNORE."""
    error: float
    rank: int

    @property
    def key(self) -> str:
        """A file name without extension for this image and no other; it has no dot."""
        # Cut to the same length whatever the extension, so that image and mask share it.
        name = safe_file_name(self.image_id, _LONGEST_EXTENSION, MAX_NAME_BYTES)
        return name.removesuffix(f".{_LONGEST_EXTENSION}")

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
