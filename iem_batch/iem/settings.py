"""The settings of IEM (arXiv 2012.07287). The defaults go beyond the paper by measurement."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, above, at_least, odd


@dataclass(frozen=True, kw_only=True)
class IEMSettings(Section, name="iem"):
    """What decides the masks, given the decoded images and the first masks."""

    colors: Literal["whitened", "rgb"] = "whitened"
    """What the engine sees: the photo's colours, as in the paper, or `whitened`: with the same
    spread in all directions. Errors of one and the other do not compare."""

    sigma_px: Annotated[float, above(0)] = 5.0
    """Standard deviation of one pass of the inpainting Gaussian, in pixels."""

    kernel_px: Annotated[int, odd, at_least(1)] = 11
    """Taps of one pass of the inpainting Gaussian, odd; it is applied twice."""

    diversity_weight: Annotated[float, at_least(0)] = 0.0005
    """lambda of the objective L = E - lambda D, 0.001 in the paper; 0 switches the diversity term
    off."""

    iterations: Annotated[int, at_least(0)] = 150
    """Projected-gradient steps; an image whose masks recur stops early with the same answer."""

    smoothing: bool = True
    """Whether each iteration ends with the 3x3 majority vote."""

    boundary_only: bool = True
    """Whether only pixels on the boundary of the mask may change in an iteration."""
