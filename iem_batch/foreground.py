"""Which side of a mask is the foreground, by where its pixels lie.

A mask that maximises the inpainting error has two sides and no names for them: the error is the
same with the sides swapped. A network that learns from masks some of which call the object
foreground and some the background learns nothing, so both must be called the same everywhere.

A photo has its subject within the frame, and the background reaches the frame. So a side is
background if its share of the frame, the outermost pixels, is higher than its share of the picture.

Axes: B = masks, H, W = pixels.
"""

import numpy as np
from numpy.typing import NDArray


def frame_share(mask_BHW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the foreground's share of the outermost pixels of each mask, in [0, 1].

    Args:
        mask_BHW: True is foreground; at least one pixel.
    """
    inside_B, num_frame = _frame(mask_BHW)
    return np.asarray(inside_B / num_frame)


def has_swapped_sides(mask_BHW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell in which masks the background is called foreground.

    Of a mask and its complement at most one has its sides swapped; neither has where the shares
    are equal, as in an empty or a full mask.

    Args:
        mask_BHW: True is foreground.

    Returns:
        swapped_B: True where the foreground's share of the frame is higher than its share of the
        picture.
    """
    inside_B, num_frame = _frame(mask_BHW)
    num_pixels = mask_BHW.shape[1] * mask_BHW.shape[2]
    # In whole numbers, so that equal shares are equal.
    return np.asarray(inside_B * num_pixels > _count(mask_BHW) * num_frame)


def with_consistent_sides(
    mask_BHW: NDArray[np.bool_],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Call the same side foreground in all masks; see `has_swapped_sides`.

    Args:
        mask_BHW: True is foreground.

    Returns:
        The masks, and which of them were turned (B).
    """
    swapped_B = has_swapped_sides(mask_BHW)
    return mask_BHW ^ swapped_B[:, None, None], swapped_B


def _frame(mask_BHW: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Count the foreground among the outermost pixels, and these."""
    inner_BHW = mask_BHW[:, 1:-1, 1:-1]
    _, height, width = mask_BHW.shape
    num_frame = height * width - inner_BHW.shape[1] * inner_BHW.shape[2]
    return _count(mask_BHW) - _count(inner_BHW), num_frame


def _count(mask_BHW: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(mask_BHW.sum(axis=(1, 2), dtype=np.int64))
