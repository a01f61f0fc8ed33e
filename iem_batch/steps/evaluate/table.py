"""How an evaluation is shown on a terminal, in percent."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.metrics import METRICS
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import COVERAGE
from iem_batch.steps.evaluate.evaluation import Evaluation, MethodScores
from iem_batch.steps.evaluate.methods import EARLIER_ROUND
from iem_batch.steps.evaluate.published import quoted_rows
from iem_batch.steps.registry import MASKS, STEPS
from iem_batch.words import count

LABELS = {
    **{name: STEPS[name].masks for name in MASKS},
    **{name: baseline.label for name, baseline in BASELINES.items()},
}
"""How a method is called in tables."""

METRIC_LABELS = dict(zip(METRICS, ("accuracy", "IoU", "mIoU", "DICE"), strict=True))
"""How a metric is called in tables."""

NUM_SHOWN = 3
"""Images that are named of those with the lowest and the highest IoU."""


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
    return f"{LABELS['predict']}, round {method.removeprefix(EARLIER_ROUND).strip('_')}"


def rich_tables(evaluation: Evaluation) -> Iterator[Table]:
    """Lay out the means and their intervals; where published figures are asked for, beside these.

    Those are of the better polarity, so they have a table of their own.
    """
    settings = evaluation.settings
    heading = f"{count(evaluation.num_images, 'image')} at {evaluation.size}, percent"
    table = _table(f"{heading}, as labelled", [*METRIC_LABELS.values(), "best polarity"])
    for names, scores in _rows(evaluation):
        best = _cells(scores.best_polarity, scores.best_polarity_interval, ["iou"])
        cells = _cells(scores.as_labelled, scores.as_labelled_interval, METRICS)
        table.add_row(names, f"{scores.num_images:,}", *cells, *best)
    table.caption = "best polarity: IoU of the better of mask and complement, image by image"
    if settings.resamples:
        table.caption += (
            f"; below each mean its {100 * COVERAGE:.0f} % interval, by bootstrap over images "
            f"({settings.resamples:,} samples, seed {settings.seed})"
        )
    yield table
    if settings.quote:
        table = _table(f"{heading}, best polarity for each metric", METRIC_LABELS.values())
        for names, scores in _rows(evaluation):
            table.add_row(
                names, f"{scores.num_images:,}", *_cells(scores.best_polarity, {}, METRICS)
            )
        for name, metrics in quoted_rows(settings.quote, settings.format):
            shown = (f"{metrics[key]:.1f}" if key in metrics else "-" for key in METRICS)
            table.add_row(name, "", *shown)
        yield table


def _rows(evaluation: Evaluation) -> Iterator[tuple[str, MethodScores]]:
    """Give the methods with their names; those that have equal scores once, with all names."""
    names: dict[str, list[str]] = {}
    first: dict[str, MethodScores] = {}
    for scores in evaluation.methods:
        key = repr((scores.num_images, scores.as_labelled, scores.best_polarity))
        first.setdefault(key, scores)
        names.setdefault(key, []).append(label(scores.method, evaluation.num_rounds))
    for key, scores in first.items():
        yield "\n= ".join(names[key]), scores


def verdict(evaluation: Evaluation) -> str:
    """Say in a line how good the run's best masks are, and whether others would be better.

    These are the best baseline for the run, and for SegNet's masks the labels it has learned.
    """

    def said(scores: MethodScores) -> str:
        text = (
            f"{label(scores.method, evaluation.num_rounds)} {100 * scores.as_labelled['iou']:.1f}"
        )
        if "iou" in scores.as_labelled_interval:
            low, high = scores.as_labelled_interval["iou"]
            text += f" ({100 * low:.1f} to {100 * high:.1f})"
        return text

    def best(methods: list[MethodScores]) -> MethodScores:
        return max(methods, key=lambda scores: scores.as_labelled["iou"])

    own = best([scores for scores in evaluation.methods if scores.method not in BASELINES])
    others = [scores for scores in evaluation.methods if scores.method in BASELINES]
    line = f"IoU of {count(evaluation.num_images, 'image')}: {said(own)}"
    if others:
        rival = best(others)
        is_below = rival.as_labelled["iou"] > own.as_labelled["iou"]
        line += f"; {'BELOW' if is_below else 'above'} the best baseline, {said(rival)}"
    compared = [
        _against_labels(scores, scores.labels_iou, evaluation.num_rounds)
        for scores in evaluation.methods
        if scores.method in ("predict", "refine") and scores.labels_iou is not None
    ]
    return "; ".join([line, *compared])


def _against_labels(scores: MethodScores, labels: float, num_rounds: int) -> str:
    """Say whether masks that SegNet led to are better than the fused ones, if one can tell."""
    iou = scores.as_labelled["iou"]
    low, high = scores.labels_interval or [iou - labels] * 2
    place = "not surely above or below"
    if low > 0 or high < 0:
        place = "above" if low > 0 else "below"
    name = label(scores.method, num_rounds)
    theirs = "its labels" if num_rounds == 1 else "the labels of the first round"
    text = f"{name} is {place} {theirs} here: {100 * iou:.1f} against {100 * labels:.1f}"
    if not scores.labels_interval:
        return text
    return f"{text} ({100 * low:+.1f} to {100 * high:+.1f})"


def notes(evaluation: Evaluation) -> Iterator[str]:
    """Say what the engine has seen, and on which images the fused masks are worst and best."""
    yield (
        f"the engine saw {100 * evaluation.seen_pixels:.1f} % of the photos and "
        f"{100 * evaluation.seen_foreground:.1f} % of their true foreground"
    )
    if evaluation.settings.images == "unlearned":
        yield "only images that SegNet has not learned are counted"
    scores = next((each for each in evaluation.methods if each.method == "fuse"), None)
    if scores is None:
        return
    for name, images in (("lowest", scores.worst_images), ("highest", scores.best_images)):
        if images:
            some = islice(images.items(), NUM_SHOWN)
            listed = ", ".join(f"{image_id} {100 * iou:.0f}" for image_id, iou in some)
            more = ", ..." * (len(images) > NUM_SHOWN)
            yield f"{label(scores.method)}, {name} IoU: {listed}{more}"


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title=title, title_justify="left"
    )
    table.add_column("method")
    table.add_column("images", justify="right")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=" " not in name)
    return table


def _cells(
    means: Mapping[str, float], intervals: Mapping[str, list[float]], metrics: Iterable[str]
) -> Iterator[str]:
    for name in metrics:
        cell = f"{100 * means[name]:.1f}"
        if name in intervals:
            low, high = intervals[name]
            cell += f"\n[dim]{100 * low:.1f}-{100 * high:.1f}[/dim]"
        yield cell
