"""First masks for IEM."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import SettingsError


def centred_squares(height: int, width: int, sides_px: Sequence[int]) -> NDArray[np.bool_]:
    """Draw one centred square for each side length.

    Args:
        height: rows of the image.
        width: columns of the image.
        sides_px: side of each square in pixels; each must leave some background.

    Returns:
        mask_SHW: True inside the square. A side of 78 in 128 pixels covers rows 25 to 102, the
        authors' H // 5 .. H - H // 5.

    Raises:
        SettingsError: a side is below 1 or does not fit inside the image.
    """
    mask_SHW = np.zeros((len(sides_px), height, width), dtype=np.bool_)
    for mask_HW, side in zip(mask_SHW, sides_px, strict=True):
        if not 1 <= side < max(height, width) or side > min(height, width):
            raise SettingsError(
                f"a first mask of side {side} does not fit an image of {height} x {width}; "
                f"it must be from 1 to {min(height, width, max(height, width) - 1)}"
            )
        top, left = (height - side) // 2, (width - side) // 2
        mask_HW[top : top + side, left : left + side] = True
    return mask_SHW
