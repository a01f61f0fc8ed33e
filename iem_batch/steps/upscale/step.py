"""The step `upscale`: the masks of a run at the size of their photos.

H, W = pixels of a photo, S = side of the engine's square.
"""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.errors import ImageRejectedError
from iem_batch.exec.step import ShardOutput
from iem_batch.images.decode import decode_whole
from iem_batch.images.geometry import VOID
from iem_batch.images.png import decode_mask, encode_mask, encode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import guard
from iem_batch.run.load import read_entries
from iem_batch.run.marks import Summary, settings_of
from iem_batch.run.plan import shard_entries
from iem_batch.sources import RawImage
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows
from iem_batch.steps.registry import STEPS, up_to
from iem_batch.steps.upscale.settings import UpscaleSettings
from iem_batch.steps.upscale.upsampling import upsample
from iem_batch.storage.read_ahead import map_ahead


def build(job: Job) -> "UpscaleStep":
    """Make the step of a job.

    Raises:
        StepMissingError: there are no masks of the kind asked for.
        ShardsFailedError: there are only some.
    """
    wanted = job.settings.upscale.masks
    masks = job.place if STEPS[wanted].per_round else job.run
    return UpscaleStep.of(
        job,
        job.place,
        upscale=job.settings.upscale,
        masks=masks,
        masks_digest=settings_of(masks, wanted),
    )


def finish(job: Job, built: "UpscaleStep", summary: Summary) -> None:
    """Say what came out."""
    say_rows(job, built, summary)


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
    """Masks at the size of their photos; see `iem_batch.exec.step.ShardStep`."""

    upscale: UpscaleSettings
    masks: RunFolder
    """Where the masks are that are enlarged."""
    masks_digest: str
    """Digest of what they were made with."""
    name: str = "upscale"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "upscale": asdict(self.upscale),
            "masks": self.masks_digest,
            "opencv": cv2.__version__,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> SmallMasks:
        """Read the masks of a shard and the photos, without decoding these."""
        rows = self._rows(shard)
        if wanted is not None:
            kept = [image_id in wanted for image_id in rows["image_id"].to_pylist()]
            rows = rows.filter(pa.array(kept, pa.bool_()))
        ids = rows["image_id"].to_pylist()
        steps, source = up_to(self.name), self.open_source()
        guarded = guard(self.run, steps, shard, source, self.decode, self.memory_bytes)
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
        name = layout.part(self.upscale.masks, shard)
        return self.masks.read_table(name, columns)

    def open_engine(self, num_threads: int) -> Callable[[SmallMasks], ShardOutput]:
        """Bind the number of threads; no engine of IEM runs."""
        return partial(self._compute, num_threads)

    def _compute(self, num_threads: int, small: SmallMasks) -> ShardOutput:
        # Each thread holds one decoded photo; decoding and filtering leave Python's lock.
        rows = small.rows.to_pylist()
        results = list(map_ahead(self._row_or_reason, rows, small.photos, num_threads=num_threads))
        made = [row for row in results if "error_class" not in row]
        rejected = [row for row in results if "error_class" in row]
        table = pa.Table.from_pylist(made, schema=schema.UPSCALED)
        return ShardOutput(
            shard=small.shard,
            tables={layout.part(self.name, small.shard): table},
            planned=small.planned,
            ok=len(made),
            quarantined=small.planned - len(made),
            facts={"rejected": rejected},
        )

    def _row_or_reason(
        self, row: dict[str, Any], photo: RawImage | ImageRejectedError
    ) -> dict[str, Any]:
        """Make a row of `schema.UPSCALED`, or of `schema.QUARANTINE`."""
        try:
            return self._row(row, photo)
        except ImageRejectedError as error:
            return schema.quarantine_row(row["image_id"], row["uri"], error.reason, error.message)

    def _row(self, row: dict[str, Any], photo: RawImage | ImageRejectedError) -> dict[str, Any]:
        if isinstance(photo, ImageRejectedError):
            raise photo
        photo_HW3 = decode_whole(photo.data, self.decode)
        mask_SS = decode_mask(row["mask"]["bytes"])
        mask_HW, seen = upsample(mask_SS, photo_HW3, self.upscale.method, self.decode.fit)
        rows, columns = seen
        is_png = self.upscale.encoding == "png"
        return {
            "image_id": row["image_id"],
            "uri": row["uri"],
            "width": photo_HW3.shape[1],
            "height": photo_HW3.shape[0],
            "mask": {"bytes": self._png(mask_HW, seen), "path": None} if is_png else None,
            "rle": None if is_png else coco_rle(mask_HW),
            "area": float(mask_HW[seen].mean()),
            "seen_left": columns.start,
            "seen_top": rows.start,
            "seen_right": columns.stop,
            "seen_bottom": rows.stop,
        }

    def _png(self, mask_HW: NDArray[np.bool_], seen: tuple[slice, slice]) -> bytes:
        """Encode a mask; all of a run in one way, so that a reader need not look at each."""
        if self.decode.fit != "crop":
            return encode_mask(mask_HW)
        label_HW = np.full(mask_HW.shape, VOID, np.uint8)
        label_HW[seen] = mask_HW[seen]
        return encode_pixels(label_HW)


def coco_rle(mask_HW: NDArray[np.bool_]) -> str:
    """Encode a mask as COCO's compressed run lengths: the `counts` of a segmentation.

    Raises:
        BackendUnavailableError: the package pycocotools is missing.
    """
    with needs_extra("coco", "upscale.encoding rle"):
        from pycocotools import mask as coco_mask
    counts: bytes = coco_mask.encode(np.asfortranarray(mask_HW.view(np.uint8)))["counts"]
    return counts.decode()
