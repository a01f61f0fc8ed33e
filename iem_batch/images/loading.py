"""Pixels as Pillow loads them, by one rule for all formats.

Left to itself Pillow turns a TIFF by its orientation tag and no other format, shows 16-bit TIFFs
whose white is 0 inverted, and raises for a tag that cannot be read.
"""

import numpy as np
from PIL import Image

UPRIGHT = 1
"""The orientation of an image that is shown as it is stored."""

_ORIENTATION = 0x0112
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0

_T = Image.Transpose
_TURNS = {
    2: _T.FLIP_LEFT_RIGHT,
    3: _T.ROTATE_180,
    4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE,
    6: _T.ROTATE_270,
    7: _T.TRANSVERSE,
    8: _T.ROTATE_90,
}
"""Value of the tag -> what shows the stored pixels upright."""

_BACK = _TURNS | {6: _T.ROTATE_90, 8: _T.ROTATE_270}
"""Value of the tag -> what gives the stored pixels back; flips and half turns undo themselves."""

GREY16_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow's modes of 16-bit grey; some formats have it as mode I."""


def orientation(image: Image.Image) -> int | None:
    """Read the orientation tag, from 1, upright, to 8; None if the tags cannot be read."""
    try:
        tag = image.getexif().get(_ORIENTATION)
    except Exception:  # noqa: BLE001 - Pillow raises nearly anything; the pixels may still be good
        return None
    return tag if tag in _TURNS else UPRIGHT


def load(image: Image.Image, *, is_turned: bool) -> Image.Image:
    """Load the pixels of an image.

    Args:
        image: opened by Pillow.
        is_turned: whether its orientation tag is followed.

    Returns:
        The image, turned or as it is stored; white is the highest value of 16-bit grey.

    Raises:
        Exception: nearly any, from Pillow's plugins: the pixels cannot be read.
    """
    is_tiff = image.format == "TIFF"
    tag = orientation(image) if is_tiff or is_turned else UPRIGHT
    is_inverted = is_tiff and image.mode in GREY16_MODES and _is_white_zero(image)
    image.load()
    if is_inverted:
        image = Image.fromarray(np.uint16(65535) - np.asarray(image, np.uint16))
    if tag not in _TURNS or is_tiff == is_turned:
        return image
    turned = image.transpose((_TURNS if is_turned else _BACK)[tag])
    turned.format = image.format
    return turned


def _is_white_zero(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
