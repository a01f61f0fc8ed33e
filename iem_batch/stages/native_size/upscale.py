"""The step `upscale`: the masks of a run at the size of their photos.

H, W = pixels of a photo, S = side of the engine's square.
"""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.decode import decode_whole
from iem_batch.data.killers import guard
from iem_batch.data.load import read_entries
from iem_batch.data.plan import shard_entries
from iem_batch.data.read_ahead import map_ahead
from iem_batch.data.sources import RawImage, open_source
from iem_batch.errors import BackendUnavailableError, ImageRejectedError
from iem_batch.iem.backends import Segment, load_backend
from iem_batch.iem.settings import IEMSettings
from iem_batch.shards.step import ShardOutput
from iem_batch.stages.image_step import ImageStep
from iem_batch.stages.native_size.settings import UpscaleSettings
from iem_batch.stages.native_size.upsampling import segment_whole, sharpen, upsample, upsample_whole
from iem_batch.stages.selection.choose import chosen_rows
from iem_batch.stages.selection.settings import InitChoice


@dataclass(frozen=True, kw_only=True)
class SmallMasks:
    """The masks of a shard and the encoded photos they are of, in the order of the masks."""

    shard: int
    photos: list[RawImage | ImageRejectedError]
    """Decoded one by one: a shard of large photos would not fit into memory."""
    rows: pa.Table
    """Columns image_id, uri and mask."""
    planned: int
    """Images the shard was to load, with or without a mask."""


@dataclass(frozen=True, kw_only=True)
class UpscaleStep(ImageStep):
    """Masks at the size of their photos; see `iem_batch.shards.step.ShardStep`."""

    iem: IEMSettings
    backend: str
    upscale: UpscaleSettings
    init_choice: InitChoice
    init_side: int
    """What `choose.dataset_side` gave; not looked at for other masks than IEM's."""
    name: str = "upscaled"

    def load(self, shard: int, wanted: Container[str] | None = None) -> SmallMasks:
        """Read the masks of a shard and the photos, without decoding these."""
        rows = self._rows(shard)
        if wanted is not None:
            kept = [image_id in wanted for image_id in rows["image_id"].to_pylist()]
            rows = rows.filter(pa.array(kept, pa.bool_()))
        ids = rows["image_id"].to_pylist()
        source = open_source(self.source_url)
        guarded = guard(self.run, self.name, shard, source, self.decode, self.memory_bytes)
        read: dict[str, RawImage | ImageRejectedError] = {}
        planned = 0
        for item in read_entries(guarded, shard_entries(self.run, shard), wanted):
            planned += 1
            if isinstance(item, RawImage):
                read[item.image_id] = item
            else:  # an id that comes again is rejected as a duplicate; the first one stays
                read.setdefault(item.image_id, ImageRejectedError(item.reason, item.message))
        gone = ImageRejectedError("missing", "it could be read when its mask was made")
        return SmallMasks(
            shard=shard,
            photos=[read.get(image_id, gone) for image_id in ids],
            rows=rows,
            planned=planned,
        )

    def _rows(self, shard: int) -> pa.Table:
        columns = ["image_id", "uri", "mask"]
        name = run_folder.part(self.upscale.masks, shard)
        if self.upscale.masks != "masks":
            return self.run.read_table(name, columns)
        rows = self.run.read_table(name, [*columns, "init_side", "error"])
        return chosen_rows(rows, self.init_choice, self.init_side).select(columns)

    def open_engine(self, num_threads: int) -> Callable[[SmallMasks], ShardOutput]:
        """Load the backend, which only some settings run."""
        return partial(self._compute, load_backend(self.backend), num_threads)

    def _compute(self, engine: Segment, num_threads: int, small: SmallMasks) -> ShardOutput:
        # Each thread holds one decoded photo; decoding and filtering leave Python's lock.
        one, rows = partial(self._row_or_reason, engine), small.rows.to_pylist()
        results = list(map_ahead(one, rows, small.photos, num_threads=num_threads))
        made = [row for row in results if "error_class" not in row]
        rejected = [row for row in results if "error_class" in row]
        table = pa.Table.from_pylist(made, schema=schema.UPSCALED)
        return ShardOutput(
            shard=small.shard,
            tables={run_folder.part(self.name, small.shard): table},
            planned=small.planned,
            ok=len(made),
            quarantined=small.planned - len(made),
            facts={"rejected": rejected},
        )

    def _row_or_reason(
        self, engine: Segment, row: dict[str, Any], photo: RawImage | ImageRejectedError
    ) -> dict[str, Any]:
        """Make a row of `schema.UPSCALED`, or of `schema.QUARANTINE`."""
        try:
            return self._row(engine, row, photo)
        except ImageRejectedError as error:
            return schema.quarantine_row(row["image_id"], row["uri"], error.reason, error.message)

    def _row(
        self, engine: Segment, row: dict[str, Any], photo: RawImage | ImageRejectedError
    ) -> dict[str, Any]:
        if isinstance(photo, ImageRejectedError):
            raise photo
        photo_HW3 = decode_whole(photo.data, self.decode)
        mask_SS = schema.decode_mask(row["mask"]["bytes"])
        mask_HW, seen_HW = self._enlarged(engine, mask_SS, photo_HW3)
        rows_seen, columns_seen = (np.flatnonzero(seen_HW.any(axis=axis)) for axis in (1, 0))
        is_png = self.upscale.encoding == "png"
        return {
            "image_id": row["image_id"],
            "uri": row["uri"],
            "width": photo_HW3.shape[1],
            "height": photo_HW3.shape[0],
            "mask": {"bytes": schema.encode_mask(mask_HW), "path": None} if is_png else None,
            "rle": None if is_png else coco_rle(mask_HW),
            "area": float(mask_HW[seen_HW].mean()),
            "seen_left": int(columns_seen[0]),
            "seen_top": int(rows_seen[0]),
            "seen_right": int(columns_seen[-1]) + 1,
            "seen_bottom": int(rows_seen[-1]) + 1,
        }

    def _enlarged(
        self, engine: Segment, mask_SS: NDArray[np.bool_], photo_HW3: NDArray[np.uint8]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Bring one mask to the photo's size; the second result is what has been looked at."""
        upscale, resize, size_px = self.upscale, self.decode.resize, self.decode.size_px
        few = replace(self.iem, iterations=upscale.iterations)
        if upscale.margin == "segment":
            if upscale.size_px is not None:
                mask_SS = sharpen(mask_SS, photo_HW3, engine, few, upscale.size_px, resize)
                size_px = upscale.size_px
            mask_RQ = segment_whole(mask_SS, photo_HW3, engine, self.iem, size_px, resize)
            mask_HW = upsample_whole(mask_RQ, photo_HW3, upscale.method)
            return mask_HW, np.ones_like(mask_HW)
        if upscale.size_px is not None:
            mask_SS = sharpen(mask_SS, photo_HW3, engine, few, upscale.size_px, resize)
        return upsample(mask_SS, photo_HW3, upscale.method)


def upscaled_depend_on(step: UpscaleStep, masks_digest: str) -> dict[str, Any]:
    """List what the files of upscaled/ depend on, for `RunFolder.begin_step`.

    Args:
        step: the step.
        masks_digest: digest of the files of the masks that are enlarged.
    """
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "upscale": asdict(step.upscale),
        "iem": asdict(step.iem),
        "backend": step.backend,
        "init_choice": step.init_choice,
        "masks": masks_digest,
    }


def coco_rle(mask_HW: NDArray[np.bool_]) -> str:
    """Encode a mask as COCO's compressed run lengths: the `counts` of a segmentation.

    Raises:
        BackendUnavailableError: the package pycocotools is missing.
    """
    try:
        from pycocotools import mask as coco_mask
    except ImportError as error:
        raise BackendUnavailableError(
            "upscale.encoding rle needs pycocotools; pip install 'iem-batch[coco]' or use png"
        ) from error
    counts: bytes = coco_mask.encode(np.asfortranarray(mask_HW.view(np.uint8)))["counts"]
    return counts.decode()
