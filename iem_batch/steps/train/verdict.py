"""How well SegNet has learned its labels, in plain words, and what to do where it has not."""

from dataclasses import dataclass

from iem_batch.steps.export.settings import FEWEST_TO_HOLD_BACK
from iem_batch.steps.topk.selection import Selection
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.words import count

LOW_AGREEMENT = 0.7
"""IoU with labels held back below which SegNet has not learned what they have in common."""

FEW_LABELS = 200
"""With no more than these SegNet's masks were measured to be worse than its labels."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a training came to; the facts of its summary."""

    num_labels: int
    """Labels there were, those held back included."""
    num_held_back: int
    agreement: float | None
    """IoU with those held back, over all pixels together; None where there are none."""
    all_labels: str | None
    """Flag that takes more labels of the same images; None where all are taken."""
    num_images: int
    """Images that have a label to take."""


def more_labels(selection: Selection, settings: TopkSettings) -> tuple[int, str | None]:
    """Count the labels there are to take, and give the flag that takes them all, if not all are.

    Args:
        selection: what was taken.
        settings: how it was taken.
    """
    available = selection.num_available
    if selection.takes_all:
        return available, None
    if settings.fraction is None:
        return available, f"--topk.k {available}"
    return available, "--topk.fraction 1"


def verdict(learned: Learned) -> str:
    """Say in a sentence how far SegNet agrees with labels it has not seen, and what to do."""
    few = learned.num_labels <= FEW_LABELS
    if learned.agreement is None:
        why = "export.val_share holds none back"
        if learned.num_labels < FEWEST_TO_HOLD_BACK:
            why = f"fewer than {FEWEST_TO_HOLD_BACK} are too few for that"
        line = f"none of the {count(learned.num_labels, 'label')} was held back to see how well "
        line += f"SegNet has learned them, as {why}"
        return f"{line}; {_more(learned)}" if few else line
    percent = f"{100 * learned.agreement:.0f} % of the {learned.num_held_back:,} held-back labels"
    labels = count(learned.num_labels, "label")
    if learned.agreement >= LOW_AGREEMENT:
        line = f"SegNet agrees with {percent}, of {labels} in all"
        return f"{line}, which are few; {_more(learned)}" if few else line
    if few:
        return f"{labels} are too few: SegNet agrees with {percent}; {_more(learned)}"
    return (
        f"SegNet agrees with only {percent}, of {labels} in all; train for longer "
        "(--train.epochs), and look in the report whether the labels agree with one another"
    )


def _more(learned: Learned) -> str:
    if learned.all_labels is not None:
        return f"take all {learned.num_images:,}: {learned.all_labels}"
    return "all there are were taken: add photos to the source (run --extend)"
