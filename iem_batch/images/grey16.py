"""From 16-bit grey to 8 bits, in whole numbers, so that the bits are the same everywhere."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.loading import GREY16_MODES
from iem_batch.images.settings import Range

WHITE = 65535

CUT_PERMILLE = 5
"""Of the pixels, below and above the range of `percentile` each."""

FEW_LEVELS = 64
"""See `loses_levels`."""


def is_grey16(image: Image.Image) -> bool:
    """Tell whether a loaded image is one; some formats have it as mode I, a TIFF has not."""
    return image.mode in GREY16_MODES or image.mode == "I"


def values(image: Image.Image) -> NDArray[np.int32]:
    """Give the values of a loaded image of 16-bit grey, from 0 to `WHITE`."""
    return np.clip(np.asarray(image).astype(np.int32), 0, WHITE)


def eight_bits(value_HW: NDArray[np.int32], range_: Range) -> NDArray[np.uint8]:
    """Bring 16-bit grey to 8 bits.

    With ``full`` value v becomes v / 257, rounded. With ``percentile`` the N values are sorted;
    low is the one that has N * 5 // 1000 before it, high the one that has as many behind it, but at
    least low + 1. Then v becomes (v - low) * 255 / (high - low), rounded, and 0
    or 255 where it lies beyond.

    Args:
        value_HW: from 0 to `WHITE`.
        range_: `decode.range`.
    """
    low, high = (0, WHITE) if range_ == "full" else _percentiles(value_HW)
    inside_HW = np.clip(value_HW, low, high) - low
    return ((inside_HW * 255 + (high - low) // 2) // (high - low)).astype(np.uint8)


def loses_levels(value_HW: NDArray[np.int32]) -> bool:
    """Tell whether ``full`` leaves fewer than `FEW_LEVELS` of the values that an image has."""
    is_found = np.zeros(WHITE + 1, np.bool_)
    is_found[value_HW] = True
    found = np.flatnonzero(is_found).astype(np.int32)
    num_levels = len(np.unique(eight_bits(found, "full")))
    return num_levels < min(FEW_LEVELS, len(found))


def _percentiles(value_HW: NDArray[np.int32]) -> tuple[int, int]:
    cut = value_HW.size * CUT_PERMILLE // 1000
    below = np.cumsum(np.bincount(value_HW.ravel(), minlength=WHITE + 1))
    low = int(np.searchsorted(below, cut, side="right"))
    high = int(np.searchsorted(below, value_HW.size - cut, side="left"))
    return (low, max(high, low + 1))
