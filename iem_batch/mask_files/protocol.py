"""What all kinds of masks in files have in common. H, W = pixels of a mask."""

import math
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import MaskError


class MaskFiles(Protocol):
    """Masks of images, at the size of their image or of a copy of it; may be read in threads."""

    @property
    def url(self) -> str:
        """Where the masks lie."""

    @property
    def num_images(self) -> int | None:
        """How many images the chosen part of the set has; None where nobody can tell."""

    def has(self, image_id: str) -> bool:
        """Tell whether an image has a mask that counts."""

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image that has one.

        Args:
            image_id: the image.
            width: of the original image, in pixels.
            height: of the original image, in pixels.

        Returns:
            label_HW: `FOREGROUND`, `VOID` or `BACKGROUND` of `images.geometry`, at its own size.

        Raises:
            MaskError: it cannot be used; the message names it.
        """

    def example(self) -> str:
        """Name a mask, for an error message."""


def require_shape(
    shape: tuple[int, ...], where: str, image_id: str, width: int, height: int
) -> None:
    """Check that a mask has the size of its image, or is a smaller or larger copy of it.

    The sides of a copy may be rounded or cut off to whole pixels.

    Raises:
        MaskError: it is neither.
    """
    long, short = max(width, height), min(width, height)
    mask_long, mask_short = shape[::-1] if width >= height else shape
    if mask_long < long:
        exact, found = mask_long * short / long, mask_short
    else:
        exact, found = long * mask_short / mask_long, short
    if found not in (math.floor(exact), round(exact)):
        raise MaskError(
            f"{where} is {shape[1]}x{shape[0]}, its image {image_id} is "
            f"{width}x{height}; masks must have the size of their image or be a copy of another "
            "size"
        )


def without_extension(name: str) -> str:
    """Give the path of an image or of its mask, by which they are matched."""
    return str(PurePosixPath(name).with_suffix(""))
