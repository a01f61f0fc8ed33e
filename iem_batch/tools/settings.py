"""The settings of the demo."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Section, at_least


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Section, name="demo"):
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: Annotated[int, at_least(1)] = 2000
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""


DEMO_DEFAULTS = {"topk.k": 1000}
"""What the demo sets differently: it has 2,000 images, of which the best are the labels."""
