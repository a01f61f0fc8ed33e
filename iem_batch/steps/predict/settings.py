"""The settings of the step `predict`."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Section, share


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Section, name="predict"):
    """How SegNet's probabilities become masks."""

    threshold: Annotated[float, share] = 0.5
    """Probability above which a pixel is foreground."""

    probability: bool = True
    """Whether predict/ keeps the probabilities, as 8-bit pictures, from which
    refine starts its graph cut."""
