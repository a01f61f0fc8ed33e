"""Which epoch is the best one, and when no better one is to be expected."""

from collections.abc import Sequence
from typing import Literal

Scores = Sequence[float | None]
"""Of each epoch done, the higher the better; None where there was nothing to score it on."""

Patience = Literal["auto"] | int | None
"""As in `TrainSettings`."""

AUTO_SHARE, AUTO_LEAST = 0.25, 3
"""What train.patience=auto waits: this share of the epochs, and so many at least. One epoch of a
small corpus is a few optimizer steps."""

FEWEST_TO_CHOOSE_BY = 20
"""Labels held back of which train.patience=auto takes the best epoch; fewer say too little.

With 9 of 87 labels of people held back and choosing, SegNet was 1.3 and 2.6 points of IoU worse
(two seeds) than with none, of which 0.5 came of the choice in the one run that was looked at.
"""


def best_epoch(scores: Scores) -> int | None:
    """Give the epoch of highest score, counted from 1: the first of equals; None without scores."""
    epochs = [epoch for epoch, score in enumerate(scores, 1) if score is not None]
    return max(epochs, key=lambda epoch: scores[epoch - 1] or 0.0, default=None)


def patience_for(patience: Patience, num_held_back: int) -> Patience:
    """Look at no score where too few labels are held back, unless a number was asked for.

    Args:
        patience: as in the settings.
        num_held_back: labels that are scored.
    """
    if patience == "auto" and num_held_back < FEWEST_TO_CHOOSE_BY:
        return None
    return patience


def is_over(scores: Scores, epochs: int, patience: Patience) -> bool:
    """Tell whether training ends after the epochs that have been done.

    Args:
        scores: of these.
        epochs: the most there may be.
        patience: how many in turn may bring nothing better; None to look at no score.
    """
    done = len(scores)
    if done >= epochs:
        return True
    best = None if patience is None else best_epoch(scores)
    if best is None:
        return False
    if patience == "auto":
        patience = max(AUTO_LEAST, round(AUTO_SHARE * epochs))
    assert patience is not None
    return done - best >= patience
