"""The settings of the steps that are not IEM's, the decoder's or the network's own."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Rule, Section, at_least, share

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


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Section, name="predict"):
    """How SegNet's probabilities become masks."""

    threshold: Annotated[float, share] = 0.5
    """Probability above which a pixel is foreground."""

    probability: bool = False
    """Whether predictions/ keeps the probabilities, as 8-bit pictures."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Section, name="demo"):
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: Annotated[int, at_least(1)] = 2000
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""


DEMO_DEFAULTS = {"select.k": 1000}
"""What the demo sets differently: it has 2,000 images, of which the best are the labels."""
