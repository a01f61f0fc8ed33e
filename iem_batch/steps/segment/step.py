"""The step `segment`: the masks of every image of a shard."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations
from math import fsum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import IntegrityError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.grey16 import FEW_LEVELS
from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.segment.engine import ByEngine, examine
from iem_batch.steps.segment.estimate import compare_with_truth, read_estimate
from iem_batch.steps.segment.methods import ByIEM, Find, Found, Method
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.segment.stored import ByFiles
from iem_batch.storage.folder import Folder
from iem_batch.words import count


def build(job: Job) -> "SegmentStep":
    """Make the step of a job whose engine is settled.

    Raises:
        SettingsError: the engine that the settings name cannot be used.
        MaskError: the masks that they name cannot.
    """
    iem, segment = job.settings.iem, job.settings.segment
    if segment.masks is not None:  # workers may be in another folder
        segment = replace(segment, masks=Folder(segment.masks).url)
    return SegmentStep.of(job, job.run, iem=iem, segment=segment, method=_method(job, segment))


def _method(job: Job, segment: SegmentSettings) -> Method:
    iem, decode = job.settings.iem, job.settings.decode
    if segment.engine is not None:
        facts = job.executor.call_beside_engine(partial(examine, segment, decode.size_px))
        return ByEngine(run_size_px=decode.size_px, iem=iem, segment=segment, engine=facts)
    if segment.masks is not None:
        method = ByFiles(
            decode=decode, iem=iem, segment=segment, mask_files=job.settings.mask_files
        )
        method.open_masks()  # fails before anything is claimed
        return method
    return ByIEM(size_px=decode.size_px, iem=iem, segment=segment)


def finish(job: Job, built: "SegmentStep", summary: Summary) -> None:
    """Say what came out."""
    print(f"segment: {count(summary.ok, 'image')} with masks -> {job.run.url_of(built.name)}")
    if isinstance(built.method, ByEngine) and not built.method.engine.deterministic:
        print(
            "segment: the engine is not deterministic: a shard that is done again has other bytes"
        )
    if summary.quarantined:
        folder = job.run.url_of(layout.QUARANTINE)
        what = "without a mask" if built.method.failure else "not usable"
        print(f"segment: {count(summary.quarantined, 'image')} {what} -> {folder}")
    if num_losing := summary.facts.get("losing_levels"):
        print(
            f"segment: {count(num_losing, 'image')} of 16-bit grey keep fewer than {FEW_LEVELS} of "
            "their levels in 8 bits; --decode.range percentile keeps more"
        )
    if (estimate := read_estimate(job.run)) is not None:
        print(f"segment: {compare_with_truth(estimate, summary)}")


@dataclass(frozen=True, kw_only=True)
class SegmentStep(ImageStep):
    """Masks and inpainting errors of a shard; see `iem_batch.exec.step.ShardStep`."""

    iem: IEMSettings
    segment: SegmentSettings
    """The backend is a resolved one, not auto."""
    method: Method
    name: str = "segment"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "plan": self.plan.digest,
            "decode": asdict(self.decode),
            "iem": asdict(self.iem),
            "segment": asdict(self.segment),
            "engine": self.method.facts,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard, at the size that the method takes them at."""
        decode = replace(self.decode, size_px=self.method.size_px)
        return replace(self, decode=decode).load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Set up what finds masks."""
        return partial(self._compute, self.method.open(num_threads))

    def _compute(self, find: Find, loaded: LoadedShard) -> ShardOutput:
        found, loaded = find(loaded), loaded.without_pixels()
        loaded = loaded.reject(found.failed, self.method.failure)
        rejected = pa.Table.from_pylist(loaded.rejected, schema=schema.QUARANTINE)
        sides = self.method.sides_px
        tables = {
            layout.part(self.name, loaded.shard): partial(masks_table, loaded, found, sides),
            layout.part(layout.QUARANTINE, loaded.shard): rejected if loaded.rejected else None,
        }
        facts = {
            "sides": _sums_by_side(found.result, sides),
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


def masks_table(loaded: LoadedShard, found: Found, init_sides: tuple[int, ...]) -> pa.Table:
    """Make the rows of segment/, one for each image and first mask, images in order.

    Args:
        loaded: the images that have masks.
        found: their masks.
        init_sides: the side of each of the S first masks; none where there is one mask without.

    Returns:
        A table of schema `MASKS` with B * S rows, or of `ENGINE_MASKS` with B.
    """
    result, sides = found.result, init_sides or (None,)
    num_masks = len(sides)
    mask_NHW = result.mask_BSHW.reshape(-1, *result.mask_BSHW.shape[2:])
    columns = {
        "image_id": np.repeat(np.array(loaded.image_id, dtype=object), num_masks),
        "uri": np.repeat(np.array(loaded.uri, dtype=object), num_masks),
        "width": np.repeat(np.array(loaded.width, dtype=np.int32), num_masks),
        "height": np.repeat(np.array(loaded.height, dtype=np.int32), num_masks),
        "mask": schema.image_column([encode_mask(mask_HW) for mask_HW in mask_NHW]),
        "error": result.error_BS.ravel(),
        "error_foreground": result.error_foreground_BS.ravel(),
        "error_background": result.error_background_BS.ravel(),
        "area": mask_NHW.mean(axis=(1, 2)) if len(mask_NHW) else np.empty(0),
        "init_side": list(sides) * len(loaded.image_id),
        "agreement": _agreement(result.mask_BSHW),
        "iterations": result.iterations_BS.ravel(),
        "status": [Status(int(code)).name.lower() for code in result.status_BS.ravel()],
    }
    if found.vote_BHW is None:
        return pa.table(columns, schema=schema.MASKS)
    columns["vote"] = schema.image_column([encode_pixels(vote) for vote in found.vote_BHW])
    return pa.table(columns, schema=schema.ENGINE_MASKS)


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
        for side, error_B in zip(init_sides, result.error_BS.T, strict=bool(init_sides))
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
