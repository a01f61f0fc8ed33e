"""Which masks of a run may become labels: IEM's, or those of the round before."""

from dataclasses import dataclass
from typing import Any

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Masks of all images of a run."""

    run: RunFolder
    """The run, or one of its earlier rounds."""
    step: str
    """masks, predictions or refined; the last two have one mask for each image."""


def labels_of(run: RunFolder, number: int, masks: str) -> Labels:
    """Give the masks that a selection is made among.

    Args:
        run: the run, or one of its earlier rounds: where the selection lies.
        number: of the round of the selection.
        masks: what a later round selects among, predictions or refined.
    """
    if number == 1:
        return Labels(run=run, step="masks")
    return Labels(run=run.round(number - 1), step=masks)


def selected_labels(run: RunFolder) -> Labels:
    """Give the masks that the selection of a run, or of an earlier round, was made among."""
    number = round_of(run) or 1
    return labels_of(run, number, "" if number == 1 else _select(run)["masks"])


def round_of(run: RunFolder) -> int | None:
    """Tell which round a selection is of; None if there is none."""
    if not run.exists(layout.step_record("selection")):
        return None
    number: int = _select(run).get("rounds", 1)
    return number


def _select(run: RunFolder) -> dict[str, Any]:
    select: dict[str, Any] = run.read_json(layout.step_record("selection"))["select"]
    return select
