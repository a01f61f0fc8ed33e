"""How an evaluation is shown on a terminal, in percent."""

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.metrics import METRICS
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import COVERAGE
from iem_batch.steps.evaluate.evaluation import Evaluation
from iem_batch.steps.evaluate.methods import EARLIER_ROUND
from iem_batch.steps.evaluate.published import quoted_rows
from iem_batch.steps.registry import MASKS, STEPS

LABELS = {
    **{name: STEPS[name].masks for name in MASKS},
    "centre_square": "centre square",
    "all_foreground": "all foreground",
    **{name: baseline.label for name, baseline in BASELINES.items()},
}
"""How a method is called in tables. A number behind it is the side of a square: `segment_44` is IEM
from that first mask alone, `grabcut_78` is GrabCut from that rectangle."""

METRIC_LABELS = dict(zip(METRICS, ("accuracy", "IoU", "mIoU", "DICE"), strict=True))
"""How a metric is called in tables."""

POLARITIES = {
    "as_labelled": "as labelled",
    "best_polarity": "best polarity: the better of mask and complement, for each image and metric",
}
"""Field of `MethodScores` -> what it means."""


def label(method: str, num_rounds: int = 1) -> str:
    """Give the name of a method for people.

    Args:
        method: its name in an evaluation.
        num_rounds: rounds of the run that was evaluated; of several, the last one is numbered.
    """
    if method == "predict" and num_rounds > 1:
        return f"{LABELS['predict']}, round {num_rounds}"
    if method in LABELS:
        return LABELS[method]
    family, _, number = method.rpartition("_")
    if family == EARLIER_ROUND:
        return f"{LABELS['predict']}, round {number}"
    return f"{LABELS[family]}, side {number}"


def rich_tables(evaluation: Evaluation) -> Iterator[Table]:
    """Lay out the means and their intervals, and published figures below them if asked for."""
    settings = evaluation.settings
    size = "the engine's size" if settings.at == "engine" else "the size of the truth"
    for polarity, meaning in POLARITIES.items():
        table = _table(f"{evaluation.num_images:,} images at {size}, percent, {meaning}")
        for scores in evaluation.methods:
            cells = _cells(getattr(scores, polarity), getattr(scores, f"{polarity}_interval"))
            name = label(scores.method, evaluation.num_rounds)
            table.add_row(name, f"{scores.num_images:,}", *cells)
        if polarity == "best_polarity":
            for name, metrics in quoted_rows(settings.quote, settings.format):
                shown = (f"{metrics[key]:.1f}" if key in metrics else "-" for key in METRICS)
                table.add_row(name, "", *shown)
        if settings.resamples:
            table.caption = (
                f"below each mean its {100 * COVERAGE:.0f} % interval, by bootstrap over images "
                f"({settings.resamples:,} samples, seed {settings.seed})"
            )
        yield table


def notes(evaluation: Evaluation) -> Iterator[str]:
    """Say which first mask the first method has, and on which images it did worst and best."""
    if evaluation.init_choice == "image":
        yield "IEM: for each image the first mask of highest error"
    elif any(scores.method == f"segment_{evaluation.init_side}" for scores in evaluation.methods):
        yield f"IEM: first mask of side {evaluation.init_side}, of highest mean error over the run"
    scores = evaluation.methods[0]
    for name, images in (("lowest", scores.worst_images), ("highest", scores.best_images)):
        if images:
            listed = ", ".join(f"{image_id} {100 * iou:.0f}" for image_id, iou in images.items())
            yield f"{label(scores.method)}, {name} IoU: {listed}"


def _table(title: str) -> Table:
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title=title, title_justify="left"
    )
    table.add_column("method")
    table.add_column("images", justify="right")
    for name in METRIC_LABELS.values():
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(means: Mapping[str, float], intervals: Mapping[str, list[float]]) -> Iterator[str]:
    for name in METRICS:
        cell = f"{100 * means[name]:.1f}"
        if name in intervals:
            low, high = intervals[name]
            cell += f"\n[dim]{100 * low:.1f}-{100 * high:.1f}[/dim]"
        yield cell
