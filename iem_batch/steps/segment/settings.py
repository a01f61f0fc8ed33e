"""The settings of the step `segment`."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Rule, Section

_SHARES = Rule(
    "one or more different shares above 0 and below 1",
    lambda shares: len(shares) == len(set(shares)) > 0 and 0 < min(shares) <= max(shares) < 1,
)


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(Section, name="segment"):
    """Which engine runs IEM, and what it starts from."""

    init_shares: Annotated[tuple[float, ...], _SHARES] = (0.25, 0.34, 0.47, 0.61, 0.72, 0.84)
    """Sides of the centred squares each image starts from, as shares of the engine's square. IEM's
    time is proportional to their number."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    def sides_px(self, size_px: int) -> tuple[int, ...]:
        """Give the sides of the first masks in pixels of a square."""
        return tuple(round(share * size_px) for share in self.init_shares)
