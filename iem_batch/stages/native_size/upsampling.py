"""A mask of the engine's size at the size of its photo, with an outline that follows the edges.

H, W = pixels of the photo, S = side of the engine's square, R, Q = rows and columns of the whole
photo after resizing, of which the square is the centre.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.data.geometry import (
    RESAMPLING,
    centre_crop,
    mask_to_image,
    mask_to_square,
    resize_and_crop,
)
from iem_batch.data.settings import Resize
from iem_batch.iem.backends import Segment
from iem_batch.iem.settings import IEMSettings
from iem_batch.stages.native_size.settings import UpscaleMethod

EDGE_CONTRAST = 0.01
"""Variance of colours in [0, 1] above which the guided filter takes something for an edge."""

RADIUS = 1
"""Pixels of the mask that its windows reach to each side."""


def upsample(
    mask_SS: NDArray[np.bool_], photo_HW3: NDArray[np.uint8], method: UpscaleMethod
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bring a mask of the engine's square to the size of its photo.

    Args:
        mask_SS: True is foreground.
        photo_HW3: uint8 RGB, as `iem_batch.data.decode.decode_whole` gives it.
        method: `nearest` repeats pixels, `bilinear` rounds their corners, `guided` lets the outline
            follow the photo's edges, by the guided filter.

    Returns:
        mask_HW: False beyond the crop; and seen_HW, True where the engine saw the photo.
    """
    height, width = photo_HW3.shape[:2]
    nearest_HW, seen_HW = mask_to_image(mask_SS, width, height)
    if method == "nearest":
        return nearest_HW, seen_HW
    crop = centre_crop(width, height, len(mask_SS))
    # Beyond the crop the mask goes on as it ends there, so that the crop's edge is no outline.
    bottom, right = crop.height - crop.top - crop.size_px, crop.width - crop.left - crop.size_px
    mask_RQ = np.pad(mask_SS, ((crop.top, bottom), (crop.left, right)), mode="edge")
    return upsample_whole(mask_RQ, photo_HW3, method) & seen_HW, seen_HW


def upsample_whole(
    mask_RQ: NDArray[np.bool_], photo_HW3: NDArray[np.uint8], method: UpscaleMethod
) -> NDArray[np.bool_]:
    """Bring a mask of the whole resized photo to the photo's size.

    Args:
        mask_RQ: at the size of the photo before cropping.
        photo_HW3: as in `upsample`.
        method: as in `upsample`.

    Returns:
        mask_HW: True is foreground.
    """
    size = photo_HW3.shape[1::-1]
    if method == "nearest":
        picture = Image.fromarray(mask_RQ).resize(size, Image.Resampling.NEAREST)
        return np.asarray(picture)
    share_RQ = mask_RQ.astype(np.float32)
    if method == "guided":
        from iem_batch.stages.native_size.guided import guided_filter

        return guided_filter(share_RQ, photo_HW3, RADIUS, EDGE_CONTRAST) > 0.5
    share = Image.fromarray(share_RQ).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(share) > 0.5


def sharpen(
    mask_SS: NDArray[np.bool_],
    photo_HW3: NDArray[np.uint8],
    engine: Segment,
    iem: IEMSettings,
    size_px: int,
    resize: Resize,
) -> NDArray[np.bool_]:
    """Run the engine on a larger square of the photo, started from the mask: coarse to fine.

    The blur keeps its width in pixels: only what is near the outline is left to decide.

    Args:
        mask_SS: at the engine's size.
        photo_HW3: as in `upsample`.
        engine: which one runs.
        iem: its settings; few iterations, or it starts to look for another mask.
        size_px: side of the larger square.
        resize: how the photo is brought there.

    Returns:
        A mask of size_px x size_px pixels.
    """
    height, width = photo_HW3.shape[:2]
    first = mask_to_square(mask_to_image(mask_SS, width, height)[0], size_px, "nearest")
    pixels = np.asarray(resize_and_crop(Image.fromarray(photo_HW3), size_px, resize))
    return _run(engine, pixels, first, iem)


def segment_whole(
    mask_SS: NDArray[np.bool_],
    photo_HW3: NDArray[np.uint8],
    engine: Segment,
    iem: IEMSettings,
    size_px: int,
    resize: Resize,
) -> NDArray[np.bool_]:
    """Run the engine on the whole photo, started from the mask of its centre.

    The engine takes any rectangle, so nothing has to be cut into tiles or filled up to a square.

    Args:
        mask_SS: at the engine's size; beyond it everything starts as background.
        photo_HW3: as in `upsample`.
        engine: which one runs.
        iem: its settings.
        size_px: the short side to bring the photo to.
        resize: how.

    Returns:
        mask_RQ: at the size of the resized photo.
    """
    height, width = photo_HW3.shape[:2]
    crop = centre_crop(width, height, size_px)
    size = crop.width, crop.height
    placed_HW, _ = mask_to_image(mask_SS, width, height)
    first_RQ = np.asarray(Image.fromarray(placed_HW).resize(size, Image.Resampling.NEAREST))
    pixels = np.asarray(Image.fromarray(photo_HW3).resize(size, RESAMPLING[resize]))
    return _run(engine, pixels, first_RQ, iem)


def _run(
    engine: Segment, image_HW3: NDArray[np.uint8], first_HW: NDArray[np.bool_], iem: IEMSettings
) -> NDArray[np.bool_]:
    result = engine(image_HW3[None], first_HW[None, None], iem, num_threads=1)
    mask_HW: NDArray[np.bool_] = result.mask_BSHW[0, 0]
    return mask_HW
