"""How well masks agree with ground truth: accuracy, IoU, mIoU and DICE of each image.

Axes: B = images, H, W = pixels, M = the metrics in the order of `METRICS`.

A ratio whose denominator is 0 counts as 1: it is 0 only where neither the mask nor the truth has
a pixel of the region, and two empty regions agree. So an empty mask scores IoU 1 where the truth
is empty, and 0 where the truth has one pixel.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import SettingsError

METRICS = ("accuracy", "iou", "miou", "dice")
"""Share of pixels on the right side, IoU of the foreground, mean IoU of both regions, DICE."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Counted pixels of each image, by mask and truth; int64, one number for each image."""

    both_B: NDArray[np.int64]
    """Foreground in the mask and in the truth."""

    mask_only_B: NDArray[np.int64]
    """Foreground in the mask alone."""

    truth_only_B: NDArray[np.int64]
    """Foreground in the truth alone."""

    neither_B: NDArray[np.int64]
    """Background in the mask and in the truth."""

    def complement(self) -> "Confusion":
        """Count as if foreground and background of the mask had changed names."""
        return Confusion(
            both_B=self.truth_only_B,
            mask_only_B=self.neither_B,
            truth_only_B=self.both_B,
            neither_B=self.mask_only_B,
        )


def confusion(
    mask_BHW: NDArray[np.bool_],
    truth_BHW: NDArray[np.bool_],
    ignore_BHW: NDArray[np.bool_] | None = None,
) -> Confusion:
    """Count the pixels of each image by mask and truth.

    Args:
        mask_BHW: True is foreground.
        truth_BHW: True is foreground.
        ignore_BHW: True where a pixel counts nowhere; None counts all of them.

    Raises:
        SettingsError: the arrays differ in shape.
    """
    ignore = np.zeros_like(truth_BHW) if ignore_BHW is None else ignore_BHW
    if not mask_BHW.shape == truth_BHW.shape == ignore.shape:
        raise SettingsError(
            f"masks, truth and ignore masks must have one shape, not {mask_BHW.shape}, "
            f"{truth_BHW.shape} and {ignore.shape}"
        )

    def count(chosen_BHW: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.asarray((chosen_BHW & ~ignore).sum(axis=(1, 2), dtype=np.int64))

    return Confusion(
        both_B=count(mask_BHW & truth_BHW),
        mask_only_B=count(mask_BHW & ~truth_BHW),
        truth_only_B=count(~mask_BHW & truth_BHW),
        neither_B=count(~(mask_BHW | truth_BHW)),
    )


def as_labelled(counts: Confusion) -> NDArray[np.float64]:
    """Score the masks as they are.

    Returns:
        score_BM: in [0, 1]; columns as in `METRICS`.
    """
    both, neither = counts.both_B, counts.neither_B
    wrong = counts.mask_only_B + counts.truth_only_B
    iou = _ratio(both, both + wrong)
    return np.stack(
        [
            _ratio(both + neither, both + neither + wrong),
            iou,
            (iou + _ratio(neither, neither + wrong)) / 2,
            _ratio(2 * both, 2 * both + wrong),
        ],
        axis=1,
    )


def best_polarity(counts: Confusion) -> NDArray[np.float64]:
    """Score the better of each mask and its complement, chosen for each metric by itself.

    This is the protocol of the paper's authors, after ReDO: an unsupervised mask has no name for
    its sides.

    Returns:
        score_BM: in [0, 1]; columns as in `METRICS`.
    """
    return np.maximum(as_labelled(counts), as_labelled(counts.complement()))


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.ones(whole.shape), where=whole > 0)
