"""A mask of the engine's size at the size of its photo, with an outline that follows the edges.

H, W = pixels of the photo, S = side of the engine's square, R, Q = rows and columns of the whole
photo after resizing.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.geometry import Placement, mask_to_image, placement
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
    nearest_HW, seen_HW = mask_to_image(mask_SS, width, height, fit)
    if method == "nearest":
        return nearest_HW, seen_HW
    mask_RQ = _on_resized_photo(mask_SS, placement(width, height, len(mask_SS), fit))
    return (_smooth_share(mask_RQ.astype(np.float32), photo_HW3, method) > 0.5) & seen_HW, seen_HW


def _on_resized_photo(mask_SS: NDArray[np.bool_], place: Placement) -> NDArray[np.bool_]:
    """Cut off what is filled up, and let the mask go on beyond a crop as it ends there.

    So the edge of the crop is no outline.
    """
    left, top, right, bottom = place.box
    inside = mask_SS[top - place.top : bottom - place.top, left - place.left : right - place.left]
    return np.pad(inside, ((top, place.height - bottom), (left, place.width - right)), mode="edge")


def _smooth_share(
    share_RQ: NDArray[np.float32], photo_HW3: NDArray[np.uint8], method: UpscaleMethod
) -> NDArray[np.float32]:
    """Bring the share of foreground of each pixel of the resized photo to the photo's size."""
    if method == "guided":
        from iem_batch.steps.upscale.guided import guided_filter

        return guided_filter(share_RQ, photo_HW3, RADIUS, EDGE_CONTRAST)
    share = Image.fromarray(share_RQ).resize(photo_HW3.shape[1::-1], Image.Resampling.BILINEAR)
    return np.asarray(share)
