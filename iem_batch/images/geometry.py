"""Where a pixel of an image lies in the square the engine works on, and back.

An image is brought to the square in one of three ways (`decode.fit`): `squash` scales its sides
apart, `crop` cuts the centre out of the long side, as the paper does, and `letterbox` fills up the
short side. H, W = pixels of the image, S = pixels of a side of the square.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.settings import DecodeSettings, Fit

RESAMPLING = {"nearest": Image.Resampling.NEAREST, "antialias": Image.Resampling.BILINEAR}
"""`decode.resize` -> Pillow's filter."""


REDUCING_GAP = 2
"""A photo is reduced by whole numbers to no less than so many times the square (`decode.scaled`).

1.5 loses half a point of IoU on cars, 1 loses 1.0 and 0.4 on cars and flowers17; 2 loses nothing.
"""

MIN_REDUCED_PX = 8
"""Below, different fractions of libjpeg's give the same size."""

BACKGROUND, FOREGROUND, VOID = 0, 1, 255
"""What a label says of a pixel: VOID of one that counts nowhere, or that the engine did not see."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The resized image, and where the square lies in it; all in pixels."""

    width: int
    """Of the resized image."""
    height: int
    """Of the resized image."""
    left: int
    """First column of the square; below 0 where it reaches beyond the image."""
    top: int
    """First row of the square; see `left`."""
    size_px: int
    """Side of the square."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The part of the square that lies in the image, as Pillow's `Image.crop` takes it."""
        right = min(self.left + self.size_px, self.width)
        bottom = min(self.top + self.size_px, self.height)
        return max(self.left, 0), max(self.top, 0), right, bottom

    @property
    def margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows above and below, columns left and right, of the square beyond the image."""
        below = max(self.top + self.size_px - self.height, 0)
        right = max(self.left + self.size_px - self.width, 0)
        return (max(-self.top, 0), below), (max(-self.left, 0), right)


def placement(width: int, height: int, size_px: int, fit: Fit) -> Placement:
    """Say how an image of this size becomes the square.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        size_px: side of the square.
        fit: in which way.
    """
    if fit == "squash":
        return Placement(width=size_px, height=size_px, left=0, top=0, size_px=size_px)
    whole = min(width, height) if fit == "crop" else max(width, height)
    width, height = max(1, size_px * width // whole), max(1, size_px * height // whole)
    return Placement(
        width=width,
        height=height,
        left=int(round((width - size_px) / 2)),
        top=int(round((height - size_px) / 2)),
        size_px=size_px,
    )


def jpeg_divisor(width: int, height: int, decode: DecodeSettings) -> int:
    """Say by what libjpeg may divide the sides of a JPEG while it decodes: 1, 2, 4 or 8.

    Args:
        width: of the JPEG as it is stored, in pixels.
        height: of it, in pixels.
        decode: how it becomes the square.
    """
    if not decode.scaled or decode.resize == "nearest":
        return 1
    place = placement(width, height, decode.size_px, decode.fit)
    for divisor in (8, 4, 2):
        is_whole = width % divisor == height % divisor == 0
        if decode.exif_orientation and not is_whole:
            continue  # a part of a pixel would come to lie at the other edge
        reduced = -(-width // divisor), -(-height // divisor)
        is_large = all(
            have >= max(REDUCING_GAP * wanted, MIN_REDUCED_PX)
            for have, wanted in zip(reduced, (place.width, place.height), strict=True)
        )
        if is_large:
            return divisor
    return 1


def to_square(
    image: Image.Image,
    decode: DecodeSettings,
    size: tuple[int, int] | None = None,
    divisor: int = 1,
) -> Image.Image:
    """Bring an image to the square; a letterbox is filled up with the pixels at the edge.

    Args:
        image: as it was decoded.
        decode: how.
        size: width and height it would have with a divisor of 1; None is its own.
        divisor: that of `jpeg_divisor`, by which its sides were divided and rounded up.
    """
    width, height = size or image.size
    place = placement(width, height, decode.size_px, decode.fit)
    resized = image.resize(
        (place.width, place.height),
        RESAMPLING[decode.resize],
        (0, 0, width / divisor, height / divisor),
        REDUCING_GAP if decode.scaled and decode.resize == "antialias" else None,
    ).crop(place.box)
    if place.margins == ((0, 0), (0, 0)):
        return resized  # in the image's own mode, which an array may not have
    return Image.fromarray(pad_edges(np.asarray(resized), place))


def pad_edges(pixels: NDArray[np.uint8], place: Placement) -> NDArray[np.uint8]:
    """Fill up the square beyond the image with the pixels at its edge, where there is any."""
    if place.margins == ((0, 0), (0, 0)):
        return pixels
    return np.pad(pixels, (*place.margins, *[(0, 0)] * (pixels.ndim - 2)), mode="edge")


def mask_to_square(mask_HW: NDArray[np.bool_], decode: DecodeSettings) -> NDArray[np.bool_]:
    """Bring a mask to the square as its image was.

    Args:
        mask_HW: at the size of the image, or a smaller or larger copy of it.
        decode: how; with `antialias` a pixel is foreground where half of what it covers is.

    Returns:
        mask_SS: bool.
    """
    image = Image.fromarray(mask_HW.view(np.uint8) * np.uint8(255))
    return np.asarray(to_square(image, decode)) >= 128


def mask_to_image(
    mask_SS: NDArray[np.bool_], width: int, height: int, fit: Fit
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Bring a mask of the engine's size back to the size of its image.

    Every pixel of the image takes the pixel of the square its centre lies in. Where the image is
    not smaller than the square, `mask_to_square` with `nearest` gives the mask back exactly.

    Args:
        mask_SS: at the engine's size.
        width: of the image, in pixels.
        height: of the image, in pixels.
        fit: how the image became the square.

    Returns:
        mask_HW: False beyond the square; and seen_HW, True where the engine saw the image.
    """
    place = placement(width, height, len(mask_SS), fit)
    column_W, seen_W = _positions(width, place.width, place.left, place.size_px)
    row_H, seen_H = _positions(height, place.height, place.top, place.size_px)
    seen_HW = seen_H[:, None] & seen_W[None, :]
    return mask_SS[row_H[:, None], column_W[None, :]] & seen_HW, seen_HW


def seen_in_image(width: int, height: int, size_px: int, fit: Fit) -> NDArray[np.bool_]:
    """Tell which pixels of an image the engine saw: `seen_HW` of `mask_to_image`, without a mask.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        size_px: side of the square.
        fit: how the image became the square.
    """
    place = placement(width, height, size_px, fit)
    _, seen_W = _positions(width, place.width, place.left, place.size_px)
    _, seen_H = _positions(height, place.height, place.top, place.size_px)
    return np.asarray(seen_H[:, None] & seen_W[None, :])


def _positions(
    length: int, resized: int, start: int, size_px: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Find the place in the square of each pixel along one axis, and whether it is in there."""
    # Pixel i has its centre at (i + 1/2) / length; in whole numbers, so that no rounding decides.
    place = (2 * np.arange(length) + 1) * resized // (2 * length) - start
    return np.clip(place, 0, size_px - 1), (place >= 0) & (place < size_px)
