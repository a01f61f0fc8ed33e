"""The scores of methods, image by image, and what they come to.

N = images that a method has a mask for, M = scores: those of `METRICS` as labelled, then of the
better polarity.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.metrics import METRICS
from iem_batch.run import schema
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import compare_paired, interval
from iem_batch.steps.evaluate.evaluation import MethodScores
from iem_batch.steps.evaluate.settings import EvaluateSettings


@dataclass(kw_only=True)
class Scored:
    """The scores of one method on the images of a shard."""

    image_id: list[str] = field(default_factory=list)
    error: list[float | None] = field(default_factory=list)
    score: list[NDArray[np.float64]] = field(default_factory=list)

    @property
    def score_NM(self) -> NDArray[np.float64]:
        """All scores, one row for each image."""
        return np.reshape(self.score, (-1, 2 * len(METRICS)))


@dataclass(kw_only=True)
class Total:
    """The scores of one method on all images: the bootstrap draws from them.

    This is all that grows with the number of images: 64 bytes for each of them and method.
    """

    image_id: list[str] = field(default_factory=list)
    score_NM: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, scored: Scored) -> None:
        """Take in the scores of a shard."""
        self.image_id += scored.image_id
        self.score_NM.append(scored.score_NM)

    @property
    def iou_of(self) -> dict[str, float]:
        """image_id -> IoU as labelled."""
        iou_N = np.concatenate(self.score_NM)[:, METRICS.index("iou")]
        return dict(zip(self.image_id, iou_N.tolist(), strict=True))


def scores_table(found: Mapping[str, Scored]) -> pa.Table:
    """Make the rows of schema EVALUATION of the images of a shard, by method."""
    tables = []
    for method, scored in found.items():
        names = [method] * len(scored.image_id)
        columns = [scored.image_id, names, scored.error, *scored.score_NM.T]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, schema.EVALUATION, strict=True)]
        tables.append(pa.table(arrays, schema=schema.EVALUATION))
    return pa.concat_tables(tables)


def method_scores(
    method: str, total: Total, labels: Mapping[str, float], settings: EvaluateSettings
) -> MethodScores:
    """Add up the scores of a method.

    Args:
        method: its name.
        total: its scores, of one image at least.
        labels: image_id -> IoU of the fused masks.
        settings: how sure the means are, and how many images are listed.
    """
    score_NM = np.concatenate(total.score_NM)
    # fsum rounds once, so the means do not depend on the sharding by more than the last digit.
    means = [math.fsum(column) / len(score_NM) for column in score_NM.T]
    half = len(METRICS)
    ends: list[list[float]] = []
    if settings.resamples:
        ends = interval(score_NM, settings.resamples, settings.seed).T.tolist()
    iou_of = total.iou_of
    paired = None
    if method not in ("fuse", *BASELINES) and iou_of.keys() <= labels.keys():
        paired = compare_paired(iou_of, labels, settings.resamples, settings.seed)
    worst = sorted(iou_of.items(), key=lambda item: (item[1], item[0]))[: settings.num_listed]
    best = sorted(iou_of.items(), key=lambda item: (-item[1], item[0]))[: settings.num_listed]
    return MethodScores(
        method=method,
        num_images=len(score_NM),
        as_labelled=dict(zip(METRICS, means[:half], strict=True)),
        best_polarity=dict(zip(METRICS, means[half:], strict=True)),
        as_labelled_interval=dict(zip(METRICS, ends[:half], strict=False)),
        best_polarity_interval=dict(zip(METRICS, ends[half:], strict=False)),
        best_images=dict(best),
        worst_images=dict(worst),
        labels_iou=None if paired is None else paired.other_mean,
        labels_interval=[] if paired is None else paired.interval,
    )
