"""The step `segment`: IEM on every image of a shard."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from math import fsum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import IntegrityError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.grey16 import FEW_LEVELS
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.segment.estimate import compare_with_truth, read_estimate
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.words import count


def build(job: Job) -> "SegmentStep":
    """Make the step of a job whose engine is settled."""
    return SegmentStep.of(job, job.run, iem=job.settings.iem, segment=job.settings.segment)


def finish(job: Job, built: "SegmentStep", summary: Summary) -> None:
    """Say what came out."""
    print(f"segment: {count(summary.ok, 'image')} with masks -> {job.run.url_of(built.name)}")
    if summary.quarantined:
        folder = job.run.url_of(layout.QUARANTINE)
        print(f"segment: {count(summary.quarantined, 'image')} not usable -> {folder}")
    if num_losing := summary.facts.get("losing_levels"):
        print(
            f"segment: {count(num_losing, 'image')} of 16-bit grey keep fewer than {FEW_LEVELS} of "
            "their levels in 8 bits; --decode.range percentile keeps more"
        )
    if (estimate := read_estimate(job.run)) is not None:
        print(f"segment: {compare_with_truth(estimate, summary)}")


@dataclass(frozen=True, kw_only=True)
class SegmentStep(ImageStep):
    """Masks and inpainting errors of a shard; see `iem_batch.exec.step.ShardStep`.

    Raises:
        SettingsError: a first mask does not fit the size of the images.
    """

    iem: IEMSettings
    segment: SegmentSettings
    """The backend is a resolved one, not auto."""
    name: str = "segment"

    def __post_init__(self) -> None:
        self._first_masks()

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the first masks, in pixels."""
        return self.segment.sides_px(self.decode.size_px)

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "plan": self.plan.digest,
            "decode": asdict(self.decode),
            "iem": asdict(self.iem),
            "segment": asdict(self.segment),
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the backend and draw the first masks."""
        engine = load_backend(self.segment.backend)
        return partial(self._compute, engine, self._first_masks(), num_threads)

    def _first_masks(self) -> NDArray[np.bool_]:
        return centred_squares(self.decode.size_px, self.decode.size_px, self.sides_px)

    def _compute(
        self,
        engine: Segment,
        first_mask_SHW: NDArray[np.bool_],
        num_threads: int,
        loaded: LoadedShard,
    ) -> ShardOutput:
        first_mask_BSHW = np.broadcast_to(
            first_mask_SHW, (len(loaded.image_id), *first_mask_SHW.shape)
        )
        result = engine(loaded.image_BHW3, first_mask_BSHW, self.iem, num_threads=num_threads)
        rejected = pa.Table.from_pylist(loaded.rejected, schema=schema.QUARANTINE)
        tables = {
            layout.part(self.name, loaded.shard): partial(
                masks_table, loaded.without_pixels(), result, self.sides_px
            ),
            layout.part(layout.QUARANTINE, loaded.shard): rejected if loaded.rejected else None,
        }
        facts = {
            "sides": _sums_by_side(result, self.sides_px),
            "losing_levels": loaded.num_losing_levels,
        }
        return self.output(loaded, tables, facts)

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Give the number of masks and the mean of their errors for each first mask."""
        return {
            "sides": _means_by_side([each["sides"] for each in facts]),
            "losing_levels": sum(each.get("losing_levels", 0) for each in facts),
        }

    def complete(self, summary: Summary) -> dict[str, str]:
        """Mark the run, once it is sure that no image is lost.

        Raises:
            IntegrityError: an image of the plan has neither a mask nor a reason.
        """
        if self.plan.is_exact and summary.planned != self.plan.num_images:
            raise IntegrityError(
                f"{self.run.url} was planned with {count(self.plan.num_images, 'image')} and has "
                f"{summary.planned:,}"
            )
        return {layout.SUCCESS: self.run.write_bytes(layout.SUCCESS, b"")}


def masks_table(loaded: LoadedShard, result: IEMResult, init_sides: tuple[int, ...]) -> pa.Table:
    """Make the rows of segment/, one for each image and first mask, images in order.

    Args:
        loaded: the images.
        result: what the engine gave for them, with S first masks each.
        init_sides: the side of each of the S first masks.

    Returns:
        A table of schema `MASKS` with B * S rows.
    """
    num_masks = len(init_sides)
    mask_NHW = result.mask_BSHW.reshape(-1, *result.mask_BSHW.shape[2:])
    columns = {
        "image_id": np.repeat(np.array(loaded.image_id, dtype=object), num_masks),
        "uri": np.repeat(np.array(loaded.uri, dtype=object), num_masks),
        "width": np.repeat(np.array(loaded.width, dtype=np.int32), num_masks),
        "height": np.repeat(np.array(loaded.height, dtype=np.int32), num_masks),
        "mask": schema.image_column([schema.encode_mask(mask_HW) for mask_HW in mask_NHW]),
        "error": result.error_BS.ravel(),
        "error_foreground": result.error_foreground_BS.ravel(),
        "error_background": result.error_background_BS.ravel(),
        "area": mask_NHW.mean(axis=(1, 2)) if len(mask_NHW) else np.empty(0),
        "init_side": list(init_sides) * len(loaded.image_id),
        "agreement": _agreement(result.mask_BSHW),
        "iterations": result.iterations_BS.ravel(),
        "status": [Status(int(code)).name.lower() for code in result.status_BS.ravel()],
    }
    return pa.table(columns, schema=schema.MASKS)


def _agreement(mask_BSHW: NDArray[np.bool_]) -> NDArray[np.float64] | pa.Array:
    """Compare each mask with those of the same image: mean IoU with the others, B * S numbers.

    The IoU of two empty masks is 1. Where an image has one mask there is nothing to compare.
    """
    num_images, num_masks = mask_BSHW.shape[:2]
    if num_masks == 1:
        return pa.nulls(num_images, pa.float64())
    sum_BS = np.zeros((num_images, num_masks))
    for one, other in combinations(range(num_masks), 2):
        both_B = (mask_BSHW[:, one] & mask_BSHW[:, other]).sum(axis=(1, 2))
        either_B = (mask_BSHW[:, one] | mask_BSHW[:, other]).sum(axis=(1, 2))
        iou_B = np.where(either_B > 0, both_B / np.maximum(either_B, 1), 1.0)
        sum_BS[:, [one, other]] += iou_B[:, None]
    return (sum_BS / (num_masks - 1)).ravel()


def _sums_by_side(result: IEMResult, init_sides: tuple[int, ...]) -> dict[str, dict[str, float]]:
    return {
        str(side): {"count": len(error_B), "sum_error": float(error_B.sum())}
        for side, error_B in zip(init_sides, result.error_BS.T, strict=True)
    }


def _means_by_side(shards: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Add up what the shards say; fsum rounds once, so that their order changes nothing."""
    names = dict.fromkeys(name for sides in shards for name in sides)
    found = {}
    for name in names:
        sides = [each[name] for each in shards if name in each]
        count = sum(side["count"] for side in sides)
        mean = fsum(side["sum_error"] for side in sides) / count if count else 0.0
        found[name] = {"count": count, "mean_error": mean}
    return found
