"""The settings of the report."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Section, at_least, within


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Section, name="report"):
    """What the page about a run shows."""

    num_samples: Annotated[int, within(1, 50)] = 12
    """Images drawn at random that the page begins with."""

    num_photos: Annotated[int, at_least(1)] = 10_000
    """Images in the page's list, those of highest score: about 8 kB each, in files beside it."""

    seed: Annotated[int, at_least(0)] = 0
    """Decides which images are drawn at random."""
