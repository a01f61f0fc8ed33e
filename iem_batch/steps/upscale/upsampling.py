"""A mask of the engine's size at the size of its photo, with an outline that follows the edges.

H, W = pixels of the photo, S = side of the engine's square, R, Q = rows and columns of the whole
photo after resizing.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.geometry import Placement, mask_to_image, placement, seen_in_image
from iem_batch.images.settings import Fit
from iem_batch.steps.upscale.settings import UpscaleMethod

EDGE_CONTRAST = 0.01
"""Variance of colours in [0, 1] above which the guided filter takes something for an edge."""

RADIUS = 1
"""Pixels of the mask that its windows reach to each side."""


def upsample(
    mask_SS: NDArray[np.bool_], photo_HW3: NDArray[np.uint8], method: UpscaleMethod, fit: Fit
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bring a mask of the engine's square to the size of its photo.

    Args:
        mask_SS: True is foreground.
        photo_HW3: uint8 RGB, as `iem_batch.images.decode.decode_whole` gives it.
        method: `nearest` repeats pixels, `bilinear` rounds their corners, `guided` lets the outline
            follow the photo's edges, by the guided filter.
        fit: how the photo became the square.

    Returns:
        mask_HW: False beyond the square; and seen_HW, True where the engine saw the photo.
    """
    height, width = photo_HW3.shape[:2]
    if method == "nearest":
        return mask_to_image(mask_SS, width, height, fit)
    if method == "bilinear":
        return round_corners(mask_SS, width, height, fit)
    from iem_batch.steps.upscale.guided import guided_filter

    seen_HW = seen_in_image(width, height, len(mask_SS), fit)
    share_RQ = _on_resized_photo(mask_SS, placement(width, height, len(mask_SS), fit))
    share_HW = guided_filter(share_RQ, photo_HW3, RADIUS, EDGE_CONTRAST)
    return (share_HW > 0.5) & seen_HW, seen_HW


def round_corners(
    mask_SS: NDArray[np.bool_], width: int, height: int, fit: Fit
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bring a mask to the size of its photo as `upsample` does by `bilinear`; needs no photo.

    Args:
        mask_SS: True is foreground.
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        fit: how the photo became the square.

    Returns:
        mask_HW and seen_HW, as `upsample`.
    """
    seen_HW = seen_in_image(width, height, len(mask_SS), fit)
    share_RQ = _on_resized_photo(mask_SS, placement(width, height, len(mask_SS), fit))
    share = Image.fromarray(share_RQ).resize((width, height), Image.Resampling.BILINEAR)
    return (np.asarray(share) > 0.5) & seen_HW, seen_HW


def _on_resized_photo(mask_SS: NDArray[np.bool_], place: Placement) -> NDArray[np.float32]:
    """Give the share of foreground of each pixel of the resized photo: 0 or 1.

    What is filled up is cut off, and beyond a crop the mask goes on as it ends there, so that the
    edge of the crop is no outline.
    """
    left, top, right, bottom = place.box
    inside = mask_SS[top - place.top : bottom - place.top, left - place.left : right - place.left]
    margins = ((top, place.height - bottom), (left, place.width - right))
    return np.pad(inside, margins, mode="edge").astype(np.float32)
