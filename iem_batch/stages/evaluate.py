"""The step `evaluate`: masks of a run against ground truth, beside two baselines.

B = images with truth, N = those of them a method has a mask for, H, W = pixels, M = metrics.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.data import run_folder, schema
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import StepMissingError, TruthError
from iem_batch.iem.masks import centred_squares
from iem_batch.metrics import METRICS, as_labelled, best_polarity, confusion
from iem_batch.stages.choose import chosen_rows, dataset_side
from iem_batch.stages.settings import InitChoice
from iem_batch.stages.truth import MaskFolder

LABELS = {
    "iem": "IEM",
    "segnet": "SegNet",
    "refined": "SegNet + IEM",
    "centre_square": "centre square",
    "all_foreground": "all foreground",
}
"""How a method is called in tables; `iem_44` is IEM from the first mask of side 44 alone."""

METRIC_LABELS = dict(zip(METRICS, ("accuracy", "IoU", "mIoU", "DICE"), strict=True))
"""How a metric is called in tables."""

_LATER_STEPS = {"segnet": "predictions", "refined": "refined"}


@dataclass(frozen=True, kw_only=True)
class MethodScores:
    """Means over images, in [0, 1], by the names in `METRICS`."""

    method: str
    num_images: int
    as_labelled: dict[str, float]
    best_polarity: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` found."""

    truth_url: str
    ignore_url: str | None
    init_choice: str
    init_side: int
    """The first mask with the highest mean error over the data set."""
    num_images: int
    """Images with a mask and a truth."""
    num_without_truth: int
    """Images with a mask and no truth, or with every pixel ignored; they count nowhere."""
    methods: list[MethodScores]


@dataclass(frozen=True, kw_only=True)
class _Known:
    """The images of a shard that have a truth: the B chosen rows of masks/, and the truth."""

    rows: pa.Table
    truth_BHW: NDArray[np.bool_]
    ignore_BHW: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Masks:
    """The masks of one method for some of the images of a shard."""

    method: str
    index_N: NDArray[np.int64]
    """Which of the B images with truth each mask is of."""
    mask_NHW: NDArray[np.bool_]
    error_N: NDArray[np.float64] | None
    """Inpainting errors; None for a baseline."""


def evaluate(
    run: RunFolder, truth: MaskFolder, ignore: MaskFolder | None, init_choice: InitChoice
) -> Evaluation:
    """Score masks/, predictions/ and refined/ against ground truth and write evaluation/.

    Truth and ignore masks go through the resizing and cropping of their images, so what is scored
    is what the engine saw. Shards are read one by one; memory does not grow with their number.

    Args:
        run: a run with masks/; the other two are scored where they are.
        truth: white is foreground.
        ignore: white pixels count nowhere; an image without an ignore mask counts whole.
        init_choice: how one first mask is chosen where there are several; each of them is scored
            alone as well.

    Raises:
        StepMissingError: the run has no masks.
        TruthError: no image has a truth, or one of them cannot be used; the message names it.
    """
    shards = sorted(run.committed("masks"))
    if not shards:
        raise StepMissingError(f"{run.url} has no masks; run `iem-batch segment` on it first")
    side = dataset_side(run.marks("masks", shards))
    run.delete("evaluation")
    num_rows = 0
    sums: dict[str, list[NDArray[np.float64]]] = {}
    counts: dict[str, int] = {}
    for shard in shards:
        rows = _read_masks(run, shard)
        chosen = chosen_rows(rows, init_choice, side)
        num_rows += len(chosen)
        known = _with_truth(chosen, truth, ignore)
        if not len(known.rows):
            continue
        tables = []
        for masks in _methods(run, shard, rows, known):
            score_NM = _scores(masks, known)
            sums.setdefault(masks.method, []).append(score_NM.sum(axis=0))
            counts[masks.method] = counts.get(masks.method, 0) + len(score_NM)
            tables.append(_table(masks, known, score_NM))
        run.write_table(run_folder.part("evaluation/per_image", shard), pa.concat_tables(tables))
    if not counts:
        raise _no_truth(run, shards[0], truth)
    evaluation = Evaluation(
        truth_url=truth.url,
        ignore_url=None if ignore is None else ignore.url,
        init_choice=init_choice,
        init_side=side,
        num_images=counts["iem"],
        num_without_truth=num_rows - counts["iem"],
        methods=[_means(method, sums[method], count) for method, count in counts.items() if count],
    )
    run.write_json(run_folder.EVALUATION, asdict(evaluation))
    return evaluation


def read_evaluation(run: RunFolder) -> Evaluation | None:
    """Read what `evaluate` wrote; None if it has not finished."""
    if not run.exists(run_folder.EVALUATION):
        return None
    stored = run.read_json(run_folder.EVALUATION)
    methods = [MethodScores(**scores) for scores in stored.pop("methods")]
    return Evaluation(**stored, methods=methods)


def rich_table(evaluation: Evaluation) -> Table:
    """Lay out the means for a terminal, in percent."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title=f"{evaluation.num_images:,} images with truth, means in percent",
        caption="best: the better of mask and complement, for each image and metric",
    )
    table.add_column("method", no_wrap=True)
    table.add_column("images", justify="right")
    for name in (*METRIC_LABELS.values(), *(f"best\n{name}" for name in METRIC_LABELS.values())):
        table.add_column(name, justify="right")
    for scores in evaluation.methods:
        values = [*scores.as_labelled.values(), *scores.best_polarity.values()]
        percent = [f"{100 * value:.1f}" for value in values]
        table.add_row(label(scores.method), f"{scores.num_images:,}", *percent)
    return table


def label(method: str) -> str:
    """Give the name of a method for people."""
    return LABELS.get(method) or f"IEM, side {method.removeprefix('iem_')}"


def _read_masks(run: RunFolder, shard: int) -> pa.Table:
    return run.read_table(
        run_folder.part("masks", shard),
        columns=["image_id", "width", "height", "init_side", "error", "mask"],
    )


def _with_truth(chosen: pa.Table, truth: MaskFolder, ignore: MaskFolder | None) -> _Known:
    """Read the truth of the images that have one and are not ignored whole."""
    index, truths, ignores = [], [], []
    keys = zip(*(chosen[name].to_pylist() for name in ("image_id", "width", "height")), strict=True)
    for row, key in enumerate(keys):
        truth_HW = truth.read(*key)
        if truth_HW is None:
            continue
        ignore_HW = ignore.read(*key) if ignore else None
        if ignore_HW is None:
            ignore_HW = np.zeros_like(truth_HW)
        if not ignore_HW.all():
            index.append(row)
            truths.append(truth_HW)
            ignores.append(ignore_HW)
    return _Known(
        rows=chosen.take(pa.array(index, pa.int64())),
        truth_BHW=np.array(truths, dtype=np.bool_),
        ignore_BHW=np.array(ignores, dtype=np.bool_),
    )


def _methods(run: RunFolder, shard: int, rows: pa.Table, known: _Known) -> Iterator[_Masks]:
    """Give the masks of every method there is, IEM first and the baselines last."""
    yield _stored("iem", known.rows, known)
    sides = pc.unique(rows["init_side"]).to_pylist()
    if len(sides) > 1:
        for side in sorted(sides):
            yield _stored(f"iem_{side}", rows.filter(pc.equal(rows["init_side"], side)), known)
    for method, step in _LATER_STEPS.items():
        if run.exists(run_folder.mark(step, shard)):
            columns = ["image_id", "error", "mask"]
            yield _stored(method, run.read_table(run_folder.part(step, shard), columns), known)
    shape = known.truth_BHW.shape
    square_BHW = centred_squares(shape[1], shape[2], known.rows["init_side"].to_pylist())
    for method, mask_BHW in (
        ("centre_square", square_BHW),
        ("all_foreground", np.ones(shape, dtype=np.bool_)),
    ):
        yield _Masks(method=method, index_N=np.arange(shape[0]), mask_NHW=mask_BHW, error_N=None)


def _stored(method: str, table: pa.Table, known: _Known) -> _Masks:
    """Decode the stored masks of the images with truth; the table has one row for an image."""
    row_B = pc.index_in(known.rows["image_id"], value_set=table["image_id"].combine_chunks())
    present = np.flatnonzero(row_B.is_valid().to_numpy())
    table = table.take(row_B.drop_null())
    masks = [schema.decode_mask(mask["bytes"]) for mask in table["mask"].to_pylist()]
    return _Masks(
        method=method,
        index_N=present,
        mask_NHW=np.array(masks, dtype=np.bool_).reshape(-1, *known.truth_BHW.shape[1:]),
        error_N=table["error"].to_numpy(),
    )


def _scores(masks: _Masks, known: _Known) -> NDArray[np.float64]:
    """Score as labelled (first half of the columns) and best polarity (second half)."""
    counts = confusion(
        masks.mask_NHW, known.truth_BHW[masks.index_N], known.ignore_BHW[masks.index_N]
    )
    return np.concatenate([as_labelled(counts), best_polarity(counts)], axis=1)


def _table(masks: _Masks, known: _Known, score_NM: NDArray[np.float64]) -> pa.Table:
    nothing = pa.nulls(len(score_NM), pa.float64())
    columns = [
        known.rows["image_id"].take(masks.index_N),
        pa.array([masks.method] * len(score_NM), pa.string()),
        nothing if masks.error_N is None else pa.array(masks.error_N),
        *(pa.array(score_N) for score_N in score_NM.T),
    ]
    return pa.table(columns, schema=schema.EVALUATION)


def _means(method: str, sums: list[NDArray[np.float64]], count: int) -> MethodScores:
    # fsum rounds once, so the means do not depend on the sharding by more than the last digit.
    means = [math.fsum(column) / count for column in zip(*sums, strict=True)]
    half = len(METRICS)
    return MethodScores(
        method=method,
        num_images=count,
        as_labelled=dict(zip(METRICS, means[:half], strict=True)),
        best_polarity=dict(zip(METRICS, means[half:], strict=True)),
    )


def _no_truth(run: RunFolder, shard: int, truth: MaskFolder) -> TruthError:
    image_id = run.read_table(run_folder.part("masks", shard), ["image_id"])["image_id"]
    wanted = f"image {image_id[0].as_py()}" if len(image_id) else "no image of the first shard"
    return TruthError(
        f"no image of {run.url} has a mask in {truth.url}; masks are named like their images, with "
        f"any extension. The run has {wanted}, the folder has {truth.example()}"
    )
