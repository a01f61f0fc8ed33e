"""The settings of planning and decoding."""

from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

Resize = Literal["nearest", "antialias"]
"""How an image is brought to the engine's size."""

PILLOW_MAX_PIXELS = 2 * 89_478_485
"""Pillow itself refuses more pixels than this."""


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """How a source is cut into shards.

    Raises:
        SettingsError: a value that cannot be used.
    """

    shard_size: int = 512
    """Images in a shard, at most: the unit that is retried, and the rows of one output file."""
    limit: int | None = None
    """Take only so many images, the first in the source's order; null takes all."""
    sample: float | None = None
    """Take images by chance: below 1 a share of them, from 1 on so many; null takes all. Drawn
    are single images of folders, elsewhere runs of up to 16 neighbours."""
    seed: int = 0
    """Another seed draws another sample."""

    def __post_init__(self) -> None:
        """Check the values."""
        if self.shard_size < 1:
            raise SettingsError(f"plan.shard_size is {self.shard_size}; it must be at least 1")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(
                f"plan.limit is {self.limit}; it must be at least 1, or null for all"
            )
        sample = self.sample
        if sample is not None and not (0 < sample < 1 or (sample >= 1 and sample == int(sample))):
            raise SettingsError(
                f"plan.sample is {sample}; it must be a share between 0 and 1, a whole number of "
                "images, or null for all"
            )


@dataclass(frozen=True, kw_only=True)
class DecodeSettings:
    """How an image becomes pixels. All of these change pixels.

    Raises:
        SettingsError: a value that cannot be used.
    """

    size_px: int = 128
    """Side of the square the engine works on, in pixels."""
    resize: Resize = "nearest"
    """`nearest`: one pixel stands for all those around it, as in the paper; `antialias`: their
    weighted mean, a triangle as wide as the reduction."""
    max_pixels: int = 89_478_485
    """An image of more pixels than this (width times height) is rejected as ``too_large``."""
    exif_orientation: bool = False
    """Turn the image as its EXIF orientation says; the paper does not."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not 1 <= self.size_px <= 4096:
            raise SettingsError(f"decode.size_px is {self.size_px}; it must be in 1..4096")
        if self.resize not in get_args(Resize):
            raise SettingsError(
                f"decode.resize is {self.resize!r}; use {' or '.join(get_args(Resize))}"
            )
        if not 1 <= self.max_pixels <= PILLOW_MAX_PIXELS:
            raise SettingsError(
                f"decode.max_pixels is {self.max_pixels}; it must be in 1..{PILLOW_MAX_PIXELS}"
            )
