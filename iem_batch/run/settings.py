"""The settings of planning."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Rule, Section, at_least

_SAMPLE = Rule(
    "a share between 0 and 1 or a whole number of images",
    lambda sample: 0 < sample < 1 or (sample >= 1 and sample % 1 == 0),
)


def names_in(text: str | None) -> tuple[str, ...]:
    """Give the names between commas of a setting."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


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
    """Take a random sample: below 1 a share of the images, from 1 on a number of them; null takes
    all. Folders are sampled image by image, other sources in groups of up to 16 neighbours."""
    include: str | None = None
    """Take only images whose id matches one of these patterns, between which commas are: `*.jpg`,
    `train/*`; null takes all. `*` stands for any characters, slashes too, `?` for one."""
    exclude: str | None = None
    """Leave out images whose id matches one of these patterns, as in `*_seg.png`."""
    keep: str | None = None
    """Carry these columns of the source to the masks of fuse and to what export writes, between
    which commas are: `caption,label`; in tars what lies beside the images: `txt`, `cls`,
    `json.caption`. Parquet and Arrow keep their types, all else is text."""
    seed: int = 0
    """Another seed draws another sample."""
