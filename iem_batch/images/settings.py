"""The settings of decoding."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, within

Resize = Literal["nearest", "antialias"]
"""How an image is brought to the engine's size."""

Fit = Literal["squash", "crop", "letterbox"]
"""How an image that is no square becomes one."""

Range = Literal["full", "percentile"]
"""Which values of 16-bit grey become 0 to 255."""

MOST_PIXELS = 65_535**2
"""Of the largest JPEG; decoding takes up to 12 bytes of memory for each."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings(Section, name="decode"):
    """How an image becomes pixels. All of these change pixels.

    Raises:
        SettingsError: a value that cannot be used.
    """

    size_px: Annotated[int, within(1, 4096)] = 128
    """Side of the square the engine works on, in pixels."""
    fit: Fit = "squash"
    """`squash`: the whole photo, its sides scaled apart; `crop`: the centre of the long side, as in
    the paper; `letterbox`: the whole photo, the short side filled up by its edges."""
    resize: Resize = "antialias"
    """`nearest`: one pixel is taken of all those around it, as in the paper; `antialias`: their
    weighted mean, a triangle as wide as the reduction."""
    scaled: bool = True
    """Bring a large photo near the square by whole numbers first, a JPEG to 1/2, 1/4 or 1/8 while
    it is decoded, never below twice the square; nothing with `nearest`."""
    range: Range = "full"
    """Of 16-bit grey, what becomes 0 to 255: `full`, the values 0 to 65535; `percentile`, those
    between the 0.5th and the 99.5th percentile of the image, for cameras that use few of them."""
    max_pixels: Annotated[int, within(1, MOST_PIXELS)] = 89_478_485
    """An image of more pixels than this (width times height) is rejected as ``too_large``; decoding
    takes up to 12 bytes of memory for each."""
    exif_orientation: bool = False
    """Turn the image as its EXIF orientation says, in every format; a tag that cannot be read is
    none, and HEIC is always upright. The paper does not."""
