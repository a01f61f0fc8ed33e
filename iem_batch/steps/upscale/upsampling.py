"""A mask of the engine's size at the size of its photo, with an outline that follows the edges.

H, W = pixels of the photo, or of the part of it that the engine saw, S = side of the square.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.geometry import mask_to_image, placement, seen_in_image
from iem_batch.images.settings import Fit
from iem_batch.steps.fuse.fusion import graph_cut
from iem_batch.steps.upscale.settings import UpscaleMethod

BAND_PX = 6
"""Pixels of the square to either side of a mask's outline that a cut may change.

2 to 8 were measured: people gain all the way, cars only up to 4.
"""

MAX_PIXELS = 2**20
"""A photo of more is cut at this size: a cut takes 200 bytes and 0.7 us for each of its pixels."""

ITERATIONS = 1
"""Rounds of colour models and cut: 2 and 3 change F by -0.2 to 0.3 points."""


def upsample(
    mask_SS: NDArray[np.bool_], photo_HW3: NDArray[np.uint8], method: UpscaleMethod, fit: Fit
) -> tuple[NDArray[np.bool_], tuple[slice, slice]]:
    """Bring a mask of the engine's square to the size of its photo.

    Args:
        mask_SS: True is foreground.
        photo_HW3: uint8 RGB, as `iem_batch.images.decode.decode_whole` gives it.
        method: as in `UpscaleSettings`.
        fit: how the photo became the square.

    Returns:
        mask_HW: False where the engine did not see the photo; and the rows and columns it saw.
    """
    height, width = photo_HW3.shape[:2]
    mask_HW, seen_HW = mask_to_image(mask_SS, width, height, fit)
    rows, columns = (np.flatnonzero(seen_HW.any(axis=axis)) for axis in (1, 0))
    seen = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    if method == "cut":
        band_HW, _ = mask_to_image(_band(mask_SS), width, height, fit)
        mask_HW[seen] = _cut(mask_HW[seen], band_HW[seen], photo_HW3[seen])
    return mask_HW, seen


def _band(mask_SS: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find what is near the outline; the edge of the square is none."""
    side = 2 * BAND_PX + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    mask = mask_SS.astype(np.uint8)
    return np.asarray(cv2.dilate(mask, disc) != cv2.erode(mask, disc))


def _cut(
    mask_HW: NDArray[np.bool_], band_HW: NDArray[np.bool_], photo_HW3: NDArray[np.uint8]
) -> NDArray[np.bool_]:
    """Cut the foreground out of a photo; only what is in the band may change."""
    height, width = mask_HW.shape
    scale = min(1.0, math.sqrt(MAX_PIXELS / mask_HW.size))
    size = max(1, int(scale * width)), max(1, int(scale * height))
    photo_hw3 = np.asarray(Image.fromarray(photo_HW3).resize(size, Image.Resampling.BOX))
    if (photo_hw3 == photo_hw3[0, 0]).all():
        return mask_HW  # without edges and colours the shortest outline would win
    trimap_HW = np.where(band_HW, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8) + mask_HW
    trimap_hw = np.asarray(Image.fromarray(trimap_HW).resize(size, Image.Resampling.NEAREST))
    cut_hw = graph_cut(photo_hw3, trimap_hw, ITERATIONS)
    share = Image.fromarray(cut_hw.view(np.uint8) * np.uint8(255))
    cut_HW = np.asarray(share.resize((width, height), Image.Resampling.BILINEAR)) >= 128
    return np.where(band_HW, cut_HW, mask_HW)


def round_corners(
    mask_SS: NDArray[np.bool_], width: int, height: int, fit: Fit
) -> NDArray[np.bool_]:
    """Bring a mask to the size of its photo with the corners of its pixels rounded.

    Args:
        mask_SS: True is foreground.
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        fit: how the photo became the square.

    Returns:
        mask_HW: False where the engine did not see the photo.
    """
    place = placement(width, height, len(mask_SS), fit)
    left, top, right, bottom = place.box
    inside = mask_SS[top - place.top : bottom - place.top, left - place.left : right - place.left]
    share_SS = inside.view(np.uint8) * np.uint8(255)
    # Beyond a crop the mask goes on as it ends there: the edge of the crop is no outline.
    margins = (top, place.height - bottom, left, place.width - right)
    share = cv2.copyMakeBorder(share_SS, *margins, cv2.BORDER_REPLICATE)
    # In whole numbers, so that every processor gives the same.
    share_HW = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    if not any(margins):
        return share_HW >= 128
    return (share_HW >= 128) & seen_in_image(width, height, len(mask_SS), fit)
