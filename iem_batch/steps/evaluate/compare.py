"""Several evaluated runs side by side, on the images that all of them have scores for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.errors import RunMismatchError, StepMissingError
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import interval
from iem_batch.steps.evaluate.evaluation import Evaluation, per_image_files, read_evaluation
from iem_batch.steps.evaluate.table import label
from iem_batch.words import count

SCORES = ("iou", "best_iou")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One method of one run; IoU in [0, 1] as labelled, then of the better polarity."""

    run_url: str
    method: str
    num_rounds: int
    """Rounds of training that the run has."""
    iou: list[float]
    difference: list[float]
    """From the first method of the first run, paired by image."""
    difference_interval: list[list[float]]
    """Lower and upper end, for each of the two; empty with 0 resamples."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs side by side."""

    num_images: int
    rows: list[Compared]


def compare(run: RunFolder, others: Sequence[RunFolder]) -> Comparison:
    """Compare evaluated runs.

    Args:
        run: what the others are compared with.
        others: further runs, evaluated against the same truth in the same way.

    Raises:
        StepMissingError: a run has not been evaluated.
        RunMismatchError: a run was evaluated in another way, or shares no image with the others.
    """
    first = _evaluation(run)
    scores = {(run.url, name): found for name, found in read_scores(run).items()}
    num_rounds = {run.url: first.num_rounds}
    for other in others:
        evaluation = _evaluation(other)
        _require_same(run, first, other, evaluation)
        num_rounds[other.url] = evaluation.num_rounds
        scores |= {
            (other.url, name): found
            for name, found in read_scores(other).items()
            if name not in BASELINES
        }
    common = sorted(set.intersection(*(set(found) for found in scores.values())))
    if not common:
        raise RunMismatchError(f"{', '.join(o.url for o in others)}: no image in common")
    stacked = {
        key: np.array([found[image_id] for image_id in common]) for key, found in scores.items()
    }
    base_B2 = next(iter(stacked.values()))
    resamples, seed = first.settings.resamples, first.settings.seed
    rows = [
        Compared(
            run_url=url,
            method=method,
            num_rounds=num_rounds[url],
            iou=score_B2.mean(axis=0).tolist(),
            difference=(score_B2 - base_B2).mean(axis=0).tolist(),
            difference_interval=interval(score_B2 - base_B2, resamples, seed).T.tolist()
            if resamples
            else [],
        )
        for (url, method), score_B2 in stacked.items()
    ]
    return Comparison(num_images=len(common), rows=rows)


def comparison_table(comparison: Comparison) -> Table:
    """Lay out a comparison for a terminal, in percent."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title=f"IoU on the {count(comparison.num_images, 'image')} all runs have, percent",
        caption="difference: from the first row, image by image, with its 95 % interval",
    )
    table.add_column("run", overflow="fold")
    table.add_column("method")
    for name in ("IoU", "difference", "best IoU", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = ""
    for row in comparison.rows:
        cells = [cell for k in range(len(SCORES)) for cell in _cells(row, k)]
        name = "" if row.run_url == previous else row.run_url
        table.add_row(name, label(row.method, row.num_rounds), *cells)
        previous = row.run_url
    return table


def _cells(row: Compared, k: int) -> Iterator[str]:
    yield f"{100 * row.iou[k]:.1f}"
    difference = f"{100 * row.difference[k]:+.1f}"
    if row.difference_interval:
        low, high = row.difference_interval[k]
        difference += f"\n[dim]{100 * low:+.1f} to {100 * high:+.1f}[/dim]"
    yield difference


def _evaluation(run: RunFolder) -> Evaluation:
    evaluation = read_evaluation(run)
    if evaluation is None:
        raise StepMissingError(
            f"{run.url} has not been evaluated; run `iem-batch evaluate` on it first"
        )
    return evaluation


def _require_same(run: RunFolder, first: Evaluation, other: RunFolder, its: Evaluation) -> None:
    pairs = {
        "truth": (first.truth_url, its.truth_url),
        "truth_foreground": (first.settings.truth_foreground, its.settings.truth_foreground),
        "truth_ignore": (first.settings.truth_ignore, its.settings.truth_ignore),
        "ignore": (first.ignore_url, its.ignore_url),
        "at": (first.settings.at, its.settings.at),
        "images": (first.settings.images, its.settings.images),
        "split": (first.settings.split, its.settings.split),
        "category": (first.settings.category, its.settings.category),
        "instances": (first.settings.instances, its.settings.instances),
        "min_score": (first.settings.min_score, its.settings.min_score),
    }
    changed = [f"  {name}: {a!r} and {b!r}" for name, (a, b) in pairs.items() if a != b]
    if changed:
        raise RunMismatchError(
            f"{run.url} and {other.url} were evaluated in different ways:\n" + "\n".join(changed)
        )


def read_scores(
    run: RunFolder, columns: Sequence[str] = SCORES
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Read method -> image_id -> these scores of an evaluated run."""
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name in per_image_files(run):
        table = run.read_table(name, ["image_id", "method", *columns])
        for method in pc.unique(table["method"]).to_pylist():
            rows = table.filter(pc.equal(table["method"], method))
            score_BM = np.stack([rows[column].to_numpy() for column in columns], axis=1)
            ids = rows["image_id"].to_pylist()
            found.setdefault(method, {}).update(zip(ids, score_BM, strict=True))
    return found
