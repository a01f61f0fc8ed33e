"""The step `segment`: IEM on every image of a shard."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import iem_batch
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.run import layout, schema
from iem_batch.run.load import LoadedShard
from iem_batch.run.plan import Plan
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.settings import SegmentSettings


@dataclass(frozen=True, kw_only=True)
class SegmentStep(ImageStep):
    """Masks and inpainting errors of a shard; see `iem_batch.exec.step.ShardStep`.

    Raises:
        SettingsError: a first mask does not fit the size of the images.
    """

    iem: IEMSettings
    segment: SegmentSettings
    """The backend is a resolved one, not auto."""
    name: str = "masks"

    def __post_init__(self) -> None:
        self._first_masks()

    def load(self, shard: int, wanted: Container[str] | None = None) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the backend and draw the first masks."""
        engine = load_backend(self.segment.backend)
        return partial(self._compute, engine, self._first_masks(), num_threads)

    def _first_masks(self) -> NDArray[np.bool_]:
        return centred_squares(self.decode.size_px, self.decode.size_px, self.segment.init_sides)

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
                masks_table, loaded.without_pixels(), result, self.segment.init_sides
            ),
            layout.part("quarantine", loaded.shard): rejected if loaded.rejected else None,
        }
        return ShardOutput(
            shard=loaded.shard,
            tables=tables,
            planned=loaded.planned,
            ok=len(loaded.image_id),
            quarantined=len(loaded.rejected),
            facts={"sides": _sums_by_side(result, self.segment.init_sides)},
        )


def masks_depend_on(step: SegmentStep, plan: Plan) -> dict[str, Any]:
    """List what the files of masks/ depend on, for `RunFolder.begin_step`."""
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "plan": plan.digest,
        "decode": asdict(step.decode),
        "iem": asdict(step.iem),
        "segment": asdict(step.segment),
    }


def masks_table(
    loaded: LoadedShard, result: IEMResult, init_sides: tuple[int | None, ...]
) -> pa.Table:
    """Make the rows of masks/ or refined/, one for each image and first mask, images in order.

    Args:
        loaded: the images.
        result: what the engine gave for them, with S first masks each.
        init_sides: the side of each of the S first masks; None where it was given.

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
