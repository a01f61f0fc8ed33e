"""The step `segment`: IEM, or an engine of the user's, on every image of a shard."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import combinations
from math import fsum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import IntegrityError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend, score_masks
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.grey16 import FEW_LEVELS
from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.killers import ENGINE_REASON, add_killers
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.segment.engine import (
    EngineFacts,
    at_size,
    examine,
    make_engine,
    soft_masks,
)
from iem_batch.steps.segment.estimate import compare_with_truth, read_estimate
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.words import count


def build(job: Job) -> "SegmentStep":
    """Make the step of a job whose engine is settled.

    Raises:
        SettingsError: the engine that the settings name cannot be used.
    """
    settings, facts = job.settings, None
    if settings.segment.engine is not None:
        look = partial(examine, settings.segment, settings.decode.size_px)
        facts = job.executor.call_beside_engine(look)
    return SegmentStep.of(job, job.run, iem=settings.iem, segment=settings.segment, engine=facts)


def finish(job: Job, built: "SegmentStep", summary: Summary) -> None:
    """Say what came out."""
    print(f"segment: {count(summary.ok, 'image')} with masks -> {job.run.url_of(built.name)}")
    if built.engine is not None and not built.engine.deterministic:
        print(
            "segment: the engine is not deterministic: a shard that is done again has other bytes"
        )
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
class Found:
    """What was found in the images of a shard."""

    result: IEMResult
    """Of the images that have masks."""
    vote_BHW: NDArray[np.uint8] | None = None
    """Their soft masks; None of IEM, which has none."""
    failed: dict[int, str] = field(default_factory=dict)
    """Place of an image that has none -> what happened."""


@dataclass(frozen=True, kw_only=True)
class SegmentStep(ImageStep):
    """Masks and inpainting errors of a shard; see `iem_batch.exec.step.ShardStep`.

    Raises:
        SettingsError: a first mask does not fit the size of the images.
    """

    iem: IEMSettings
    segment: SegmentSettings
    """The backend is a resolved one, not auto."""
    engine: EngineFacts | None = None
    """Of the engine in IEM's place, where there is one."""
    name: str = "segment"

    def __post_init__(self) -> None:
        self._first_masks()

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the first masks, in pixels; an engine in IEM's place has none."""
        return () if self.engine else self.segment.sides_px(self.decode.size_px)

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "plan": self.plan.digest,
            "decode": asdict(self.decode),
            "iem": asdict(self.iem),
            "segment": asdict(self.segment),
            "engine": None if self.engine is None else asdict(self.engine),
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard, at the size that the engine wants."""
        if self.engine is None:
            return self.load_images(shard, wanted)
        decode = replace(self.decode, size_px=self.engine.size_px)
        return replace(self, decode=decode).load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the backend, and make the engine or draw the first masks."""
        backend = load_backend(self.segment.backend)
        if self.engine is None:
            first = self._first_masks()
            return partial(self._compute, partial(self._by_iem, backend, first, num_threads))
        engine = make_engine(self.segment)
        return partial(self._compute, partial(self._by_engine, engine, backend, num_threads))

    def _first_masks(self) -> NDArray[np.bool_]:
        return centred_squares(self.decode.size_px, self.decode.size_px, self.sides_px)

    def _by_iem(
        self,
        backend: Segment,
        first_mask_SHW: NDArray[np.bool_],
        num_threads: int,
        image_BHW3: NDArray[np.uint8],
    ) -> Found:
        first_mask_BSHW = np.broadcast_to(first_mask_SHW, (len(image_BHW3), *first_mask_SHW.shape))
        return Found(result=backend(image_BHW3, first_mask_BSHW, self.iem, num_threads=num_threads))

    def _by_engine(
        self, engine: Any, backend: Segment, num_threads: int, image_BHW3: NDArray[np.uint8]
    ) -> Found:
        """Call the engine; its masks are scored at the size of the run."""
        size = self.decode.size_px
        soft_BHW, failed = soft_masks(engine, image_BHW3, size)
        kept = [b for b in range(len(image_BHW3)) if b not in failed]
        image_KHW3 = np.empty((len(kept), size, size, 3), np.uint8)
        for row, b in enumerate(kept):
            image_KHW3[row] = at_size(image_BHW3[b], size)
        soft_KHW = soft_BHW[kept]
        result = score_masks(backend, image_KHW3, soft_KHW > 0.5, self.iem, num_threads)
        vote_KHW = np.rint(255 * soft_KHW).astype(np.uint8)
        return Found(result=result, vote_BHW=vote_KHW, failed=failed)

    def _compute(
        self, find: Callable[[NDArray[np.uint8]], Found], loaded: LoadedShard
    ) -> ShardOutput:
        found, loaded = find(loaded.image_BHW3), loaded.without_pixels()
        if found.failed:
            # Later steps leave these images out, and so does this shard if it is done again.
            messages = {loaded.image_id[b]: message for b, message in found.failed.items()}
            add_killers(self.run, self.name, loaded.shard, messages, ENGINE_REASON)
            loaded = loaded.reject(found.failed, ENGINE_REASON)
        # These come last, whether they were found now or by an attempt before.
        rows = sorted(loaded.rejected, key=lambda row: row["error_class"] == ENGINE_REASON)
        rejected = pa.Table.from_pylist(rows, schema=schema.QUARANTINE)
        tables = {
            layout.part(self.name, loaded.shard): partial(
                masks_table, loaded, found, self.sides_px
            ),
            layout.part(layout.QUARANTINE, loaded.shard): rejected if rows else None,
        }
        facts = {
            "sides": _sums_by_side(found.result, self.sides_px),
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
