"""A network that gives every pixel to one side has learned nothing, and seldom recovers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the report reads histories and needs no torch
    from torch import Tensor

Side = Literal["background", "foreground"]

ONE_SIDED_SHARE = 0.001
"""A network has collapsed if it gives less than this share of the corpus' pixels to a side."""

WATCHED_STEPS = 100
"""Steps of the optimizer after which the network is looked at within an epoch."""


@dataclass(frozen=True, kw_only=True)
class Collapse:
    """A collapse that was seen before the epoch was over."""

    epoch: int
    """Counted from 1."""

    step: int
    """The last step of those looked at, counted from 1 in its epoch."""

    side: Side
    """Where nearly every pixel of those steps was put."""


def collapsed_to(foreground: float) -> Side | None:
    """Name the side that nearly every pixel was given to, if there is one.

    Args:
        foreground: share of the pixels that were predicted foreground.
    """
    if foreground < ONE_SIDED_SHARE:
        return "background"
    return "foreground" if foreground > 1 - ONE_SIDED_SHARE else None


class Watch:
    """Looks, every `WATCHED_STEPS` steps of an epoch, at the pixels that were predicted since.

    Only then does it wait for the device. It reports at most once.

    Args:
        epoch: counted from 1.
        tell: what is called with a collapse; None to look at nothing.
    """

    def __init__(self, epoch: int, tell: Callable[[Collapse], object] | None) -> None:
        self._epoch = epoch
        self._tell = tell
        self._step = 0
        self._foreground: Tensor | float = 0.0
        self._pixels = 0

    def add(self, foreground: "Tensor", pixels: int) -> None:
        """Count a step.

        Args:
            foreground: pixels predicted foreground, a tensor of one number.
            pixels: all of them; of one worker, as it is enough to look at its share.
        """
        self._step += 1
        self._foreground = self._foreground + foreground
        self._pixels += pixels
        if self._tell is None or self._step % WATCHED_STEPS:
            return
        side = collapsed_to(float(self._foreground) / self._pixels) if self._pixels else None
        if side is not None:
            self._tell(Collapse(epoch=self._epoch, step=self._step, side=side))
            self._tell = None
        self._foreground, self._pixels = 0.0, 0
