"""Where a pixel of an image lies in the square the engine works on, and back.

Decoding brings the short side to `size_px` and cuts the centre out of the long one, so what lies
beyond the crop is not seen. H, W = pixels of the image, S = pixels of a side of the square.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.settings import Resize

RESAMPLING = {"nearest": Image.Resampling.NEAREST, "antialias": Image.Resampling.BILINEAR}
"""`decode.resize` -> Pillow's filter."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """The resized image, and the square that is cut out of it; all in pixels."""

    width: int
    """Of the resized image."""
    height: int
    """Of the resized image."""
    left: int
    """First column of the square."""
    top: int
    """First row of the square."""
    size_px: int
    """Side of the square."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The square as Pillow's `Image.crop` takes it."""
        return self.left, self.top, self.left + self.size_px, self.top + self.size_px


def centre_crop(width: int, height: int, size_px: int) -> Crop:
    """Say how an image of this size becomes the square, as the paper does.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        size_px: side of the square.
    """
    short = min(width, height)
    width, height = int(size_px * width / short), int(size_px * height / short)
    return Crop(
        width=width,
        height=height,
        left=int(round((width - size_px) / 2)),
        top=int(round((height - size_px) / 2)),
        size_px=size_px,
    )


def resize_and_crop(image: Image.Image, size_px: int, resize: Resize) -> Image.Image:
    """Bring the short side of an image to `size_px` and cut the centre out of the long one."""
    crop = centre_crop(image.width, image.height, size_px)
    return image.resize((crop.width, crop.height), RESAMPLING[resize]).crop(crop.box)


def mask_to_square(mask_HW: NDArray[np.bool_], size_px: int, resize: Resize) -> NDArray[np.bool_]:
    """Resize and crop a mask as its image was.

    Args:
        mask_HW: at the size of the image, or a smaller or larger copy of it.
        size_px: side of the square.
        resize: with `antialias` a pixel is foreground where half of the pixels it is made of are.

    Returns:
        mask_SS: bool.
    """
    image = Image.fromarray(mask_HW.view(np.uint8) * np.uint8(255))
    return np.asarray(resize_and_crop(image, size_px, resize)) >= 128


def mask_to_image(
    mask_SS: NDArray[np.bool_], width: int, height: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bring a mask of the engine's size back to the size of its image.

    Every pixel of the image takes the pixel of the square its centre lies in. Where the image is
    not smaller than the square, `mask_to_square` with `nearest` gives the mask back exactly.

    Args:
        mask_SS: at the engine's size.
        width: of the image, in pixels.
        height: of the image, in pixels.

    Returns:
        mask_HW: False beyond the crop; and seen_HW, True where the engine saw the image.
    """
    crop = centre_crop(width, height, len(mask_SS))
    column_W, seen_W = _place(width, crop.width, crop.left, crop.size_px)
    row_H, seen_H = _place(height, crop.height, crop.top, crop.size_px)
    seen_HW = seen_H[:, None] & seen_W[None, :]
    return mask_SS[row_H[:, None], column_W[None, :]] & seen_HW, seen_HW


def _place(
    length: int, resized: int, start: int, size_px: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Find the place in the square of each pixel along one axis, and whether it is in there."""
    # Pixel i has its centre at (i + 1/2) / length; in whole numbers, so that no rounding decides.
    place = (2 * np.arange(length) + 1) * resized // (2 * length) - start
    return np.clip(place, 0, size_px - 1), (place >= 0) & (place < size_px)
