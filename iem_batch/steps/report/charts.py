"""The charts of the report: what is drawn, and what it says in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.compute as pc
from markupsafe import Markup
from numpy.typing import NDArray

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_summary
from iem_batch.segnet.collapse import Side, collapsed_to
from iem_batch.steps.evaluate.evaluation import per_image_files
from iem_batch.steps.report import svg
from iem_batch.steps.topk.candidates import ERROR_BINS
from iem_batch.steps.train.layout import HISTORY
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count

IOU_BINS = np.arange(26) / 25
COARSE_ERROR_BINS = ERROR_BINS[::5]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A drawing and its text."""

    title: str
    text: str
    """What there is to see, so that the page can be read without it."""
    svg: Markup


def charts(run: RunFolder, place: RunFolder) -> list[Chart]:
    """Draw what there is to draw of a run.

    Args:
        run: the run.
        place: its last round.
    """
    return [*_error_and_iou(run), *_training(place)]


def _error_and_iou(run: RunFolder) -> Iterator[Chart]:
    """Draw the error, by which masks are selected, against what it is meant to foretell."""
    counts = np.zeros((len(COARSE_ERROR_BINS) - 1, len(IOU_BINS) - 1), np.int64)
    if read_summary(run, "evaluate") is not None:
        for error, iou in map_ahead(partial(_iem, run), per_image_files(run)):
            counts += np.histogram2d(error, iou, (COARSE_ERROR_BINS, IOU_BINS))[0].astype(np.int64)
    if counts.any():
        yield Chart(
            title="Error and IoU",
            text=f"{count(counts.sum(), 'image')} with ground truth. The larger a dot, the more.",
            svg=svg.density(
                "iou",
                COARSE_ERROR_BINS,
                IOU_BINS,
                counts,
                ("inpainting error E", "IoU of IEM's mask, as labelled"),
            ),
        )


def _iem(run: RunFolder, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = run.read_table(name, ["method", "error", "iou"])
    rows = table.filter(pc.equal(table["method"], "fuse"))
    return rows["error"].to_numpy(), rows["iou"].to_numpy()


def _training(place: RunFolder) -> Iterator[Chart]:
    if not place.exists(HISTORY):
        return
    history = place.read_json(HISTORY)
    epoch, loss, iou = ([record[key] for record in history] for key in ("epoch", "loss", "iou"))
    if epoch:
        seconds = sum(record["seconds"] for record in history)
        yield Chart(
            title="Training of SegNet",
            text=f"{len(epoch)} epochs in {seconds:,.0f} s: "
            f"loss from {loss[0]:.3f} to {loss[-1]:.3f}, "
            f"IoU with its labels from {100 * iou[0]:.0f} % to {100 * iou[-1]:.0f} %."
            + _warning([collapsed_to(record["foreground"]) for record in history]),
            svg=svg.curves("training", epoch, loss, iou),
        )


def _warning(sides: list[Side | None]) -> str:
    """Warn of the epochs in which the network had collapsed, given to what."""
    collapsed = [epoch for epoch, side in enumerate(sides, 1) if side is not None]
    if not collapsed:
        return ""
    return (
        f" WARNING: nearly every pixel was predicted to be of one side in {len(collapsed)} of "
        f"them, the last time in epoch {collapsed[-1]}: {sides[collapsed[-1] - 1]}."
    )
