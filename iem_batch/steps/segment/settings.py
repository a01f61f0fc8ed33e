"""The settings of the step `segment`."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Rule, Section

_SIDES = Rule(
    "one or more different sides above 0",
    lambda sides: len(sides) == len(set(sides)) > 0 and min(sides) > 0,
)


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(Section, name="segment"):
    """Which engine runs IEM, and what it starts from."""

    init_sides: Annotated[tuple[int, ...], _SIDES] = (44, 78, 92)
    """Sides in pixels of the centred squares each image starts from. IEM's time is proportional to
    their number."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""
