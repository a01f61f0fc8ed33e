"""Polygons and run lengths of COCO as masks. H, W = pixels of the image.

All is checked before it takes memory or is given to pycocotools, which ends the process for numbers
that it does not expect.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iem_batch.checks import needs_extra

MAX_TURNS = 100
"""The boundary of a polygon may be so many times as long as width and height of its image: to draw
it takes memory for each pixel of its length."""

MAX_CHARACTERS = 7
"""Of one run length in compressed form, with 5 bits each."""


def draw(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Draw a segmentation.

    Args:
        segmentation: polygons, or run lengths, plain or compressed.
        height: of the image, in pixels.
        width: of it, in pixels.

    Returns:
        mask_HW: True in any of the polygons, or in every second run.

    Raises:
        ValueError: it is none of these, or is not of this size.
    """
    if isinstance(segmentation, list):
        mask_HW = np.zeros((height, width), np.bool_)
        for polygon in segmentation:
            mask_HW |= _draw_polygon(polygon, height, width)
        return mask_HW
    if not isinstance(segmentation, dict):
        raise ValueError(f"it is of type {type(segmentation).__name__}")
    size = segmentation.get("size")
    if size != [height, width]:
        raise ValueError(f"its size is {size}, that of the image [{height}, {width}]")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _decompressed(counts)
    return _draw_runs(counts, height, width)


def _draw_polygon(polygon: Any, height: int, width: int) -> NDArray[np.bool_]:
    point_N2 = _points(polygon)
    step_N2 = np.abs(point_N2 - np.roll(point_N2, 1, axis=0))
    length = step_N2.max(axis=1).sum()
    if max(length, np.abs(point_N2).max()) > MAX_TURNS * (height + width):
        raise ValueError(f"a polygon reaches far beyond its image of {width}x{height}")
    mask = coco_mask()
    runs = mask.frPyObjects([point_N2.ravel().tolist()], height, width)[0]
    return _draw_runs(_decompressed(runs["counts"].decode()), height, width)


def _points(polygon: Any) -> NDArray[np.float64]:
    is_numbers = isinstance(polygon, list) and all(map(_is_number, polygon))
    if not is_numbers or len(polygon) < 6 or len(polygon) % 2:
        raise ValueError("a polygon is not a list of finite x and y of three points or more")
    return np.array(polygon, np.float64).reshape(-1, 2)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(value) < 1e300 and not math.isnan(value)  # also of huge whole numbers


def _draw_runs(counts: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Draw run lengths: of False, True, False, ..., down the columns."""
    if not isinstance(counts, Sequence) or not all(type(count) is int for count in counts):
        raise ValueError("its counts are neither a list of whole numbers nor compressed ones")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"its run lengths do not add up to the {height * width} pixels")
    is_inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(is_inside, counts).reshape(width, height).T


def _decompressed(text: str) -> list[int]:
    """Read compressed run lengths: numbers of 5 bits a character, the low ones first.

    A character from code 48 has 32 added if more follow; the last one has the sign. From the fourth
    number on, each is the difference from the one two places before.
    """
    code = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
    is_last = (code & 32) == 0
    if len(code) == 0 or code.min() < 0 or code.max() > 63 or not is_last[-1]:
        raise ValueError("its counts are not compressed run lengths")
    end = np.flatnonzero(is_last) + 1
    start = np.concatenate([[0], end[:-1]])
    length = end - start
    if length.max() > MAX_CHARACTERS:
        raise ValueError("its counts have a run length without end")
    place = np.arange(len(code)) - np.repeat(start, length)
    number = np.add.reduceat((code & 31) << (5 * place), start)
    number -= np.where(code[end - 1] & 16, 1 << (5 * length), 0)
    number[1::2], number[2::2] = np.cumsum(number[1::2]), np.cumsum(number[2::2])
    return [int(each) for each in number]


def coco_mask() -> Any:
    """Import what draws polygons as COCO does.

    Raises:
        BackendUnavailableError: it is not installed.
    """
    with needs_extra("truth", "a file of COCO masks"):
        from pycocotools import mask
    return mask
