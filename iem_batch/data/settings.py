"""The settings of planning and decoding."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Rule, Section, at_least, within

Resize = Literal["nearest", "antialias"]
"""How an image is brought to the engine's size."""

PILLOW_MAX_PIXELS = 2 * 89_478_485
"""Pillow itself refuses more pixels than this."""

_SAMPLE = Rule(
    "a share between 0 and 1 or a whole number of images",
    lambda sample: 0 < sample < 1 or (sample >= 1 and sample % 1 == 0),
)


@dataclass(frozen=True, kw_only=True)
class PlanSettings(Section, name="plan"):
    """How a source is cut into shards.

    Raises:
        SettingsError: a value that cannot be used.
    """

    shard_size: Annotated[int, at_least(1)] = 512
    """Images in a shard, at most: the unit that is retried, and the rows of one output file."""
    limit: Annotated[int, at_least(1)] | None = None
    """Take only so many images, the first in the source's order; null takes all."""
    sample: Annotated[float, _SAMPLE] | None = None
    """Take images by chance: below 1 a share of them, from 1 on so many; null takes all. Drawn
    are single images of folders, elsewhere runs of up to 16 neighbours."""
    seed: int = 0
    """Another seed draws another sample."""


@dataclass(frozen=True, kw_only=True)
class DecodeSettings(Section, name="decode"):
    """How an image becomes pixels. All of these change pixels.

    Raises:
        SettingsError: a value that cannot be used.
    """

    size_px: Annotated[int, within(1, 4096)] = 128
    """Side of the square the engine works on, in pixels."""
    resize: Resize = "nearest"
    """`nearest`: one pixel stands for all those around it, as in the paper; `antialias`: their
    weighted mean, a triangle as wide as the reduction."""
    max_pixels: Annotated[int, within(1, PILLOW_MAX_PIXELS)] = 89_478_485
    """An image of more pixels than this (width times height) is rejected as ``too_large``."""
    exif_orientation: bool = False
    """Turn the image as its EXIF orientation says; the paper does not."""
