"""The step `fuse`: the one mask of each photo.

It reads the masks of `segment` and the photos again. Fusing is done where photos are decoded, on
CPUs; the engine then scores the masks.
"""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import SourceError, StepMissingError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend, score_masks
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.png import decode_mask, decode_pixels, encode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary, require_summary, settings_of
from iem_batch.steps.fuse.choose import dataset_side
from iem_batch.steps.fuse.fusion import fuse_one, vote
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows
from iem_batch.steps.mask_columns import mask_columns
from iem_batch.steps.places import done_shards
from iem_batch.steps.quarantine import NO_MASK, without_label
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count


def build(job: Job) -> "FuseStep":
    """Make the step of a job whose engine is settled.

    Raises:
        StepMissingError: there are no masks.
        ShardsFailedError: there are only some.
    """
    segmented = require_summary(job.run, "segment")
    first_masks = bool(segmented.facts["sides"])
    method = job.settings.fuse.method_for(first_masks=first_masks)
    return FuseStep.of(
        job,
        job.run,
        iem=job.settings.iem,
        backend=job.settings.segment.backend,
        fuse=replace(job.settings.fuse, method=method),
        init_side=dataset_side(segmented) if method == "dataset" else None,
        first_masks=first_masks,
        masks=settings_of(job.run, "segment"),
    )


def finish(job: Job, built: "FuseStep", summary: Summary) -> None:
    """Say what came out."""
    if built.init_side is not None:
        print(f"fuse: the first mask of side {built.init_side} has the highest mean error")
    say_rows(job, built, summary)


def fused_so_far(run: RunFolder) -> list[int]:
    """Give the shards whose images have their one mask, also where some are missing.

    Raises:
        StepMissingError: none is done.
    """
    shards = done_shards(run, "fuse")
    if not shards:
        raise StepMissingError(f"{run.url} has no fused masks; run `iem-batch fuse` first", "fuse")
    return shards


@dataclass(frozen=True, kw_only=True)
class FusedShard:
    """The photos of a shard and their one mask each. B = photos."""

    images: LoadedShard
    mask_BHW: NDArray[np.bool_]
    columns: dict[str, Any]
    """The columns of `schema.FUSED` that the engine does not give, B values each."""
    first_masks: int
    """Masks that were fused, for each image."""


@dataclass(frozen=True, kw_only=True)
class FuseStep(ImageStep):
    """The masks of a shard, fused; see `iem_batch.exec.step.ShardStep`."""

    iem: IEMSettings
    """Only its blur and its colours matter here: the fused mask is scored, not changed."""
    backend: str
    fuse: FuseSettings
    init_side: int | None
    """The first mask of the whole run, where one is taken."""
    first_masks: bool
    """Whether an image has masks that first masks led to, or the one of a method in IEM's place,
    which has a soft mask too."""
    masks: str
    """Digest of what segment was made with."""
    name: str = "fuse"
    carries_kept: ClassVar[bool] = True

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "fuse": asdict(self.fuse),
            "init_side": self.init_side,
            "masks": self.masks,
            "backend": self.backend,
            "opencv": cv2.__version__,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> FusedShard:
        """Decode the photos of a shard, read their masks and fuse these.

        Raises:
            SourceError: other photos can be read now than when they were segmented.
        """
        images = self.load_images(shard, wanted)
        columns = ["image_id", "mask", "init_side", "error", "agreement"]
        columns += [] if self.first_masks else ["vote"]
        rows = self.run.read_table(layout.part("segment", shard), columns)
        by_image: dict[str, list[dict[str, Any]]] = {}
        for row in rows.to_pylist():
            by_image.setdefault(row["image_id"], []).append(row)
        images = self._labelled(images, by_image)
        masks = [by_image[image_id] for image_id in images.image_id]
        fused = list(map_ahead(self._fuse, images.image_BHW3, masks, num_threads=num_threads))
        size = self.decode.size_px
        return FusedShard(
            images=images,
            mask_BHW=np.array([mask for mask, _ in fused], np.bool_).reshape(-1, size, size),
            columns={
                "vote": schema.image_column([png for _, png in fused]),
                "agreement": pa.array(
                    [_mean(row["agreement"] for row in each) for each in masks], pa.float64()
                ),
            },
            first_masks=len(masks[0]) if masks else 0,
        )

    def _labelled(self, images: LoadedShard, masks: Container[str]) -> LoadedShard:
        """Leave out the images that segment has found no mask of."""
        missing = [b for b, name in enumerate(images.image_id) if name not in masks]
        if not missing:
            return images
        rows = without_label(self.run, images.shard)
        come_back = [images.image_id[b] for b in missing if images.image_id[b] not in rows]
        if come_back:
            raise SourceError(
                f"{count(len(come_back), 'image')} of {self.plan.source_url} have come back since "
                f"they were segmented, the first is {come_back[0]}; run `iem-batch retry "
                "--quarantined`"
            )
        return images.reject({b: rows[images.image_id[b]]["message"] for b in missing}, NO_MASK)

    def _fuse(
        self, image_HW3: NDArray[np.uint8], rows: list[dict[str, Any]]
    ) -> tuple[NDArray[np.bool_], bytes]:
        """Fuse the masks of an image; returns the mask, and the vote as 8-bit PNG."""
        rows = sorted(rows, key=lambda row: row["init_side"])
        mask_SHW = np.stack([decode_mask(row["mask"]["bytes"]) for row in rows])
        error_S = np.array([row["error"] for row in rows])
        sides = [row["init_side"] for row in rows]
        chosen = 0 if self.init_side is None else sides.index(self.init_side)
        if self.first_masks:
            vote_HW = vote(mask_SHW)
        else:
            vote_HW = decode_pixels(rows[0]["vote"]["bytes"]) / 255
        assert self.fuse.method != "auto"
        mask_HW = fuse_one(self.fuse.method, chosen, image_HW3, mask_SHW, error_S, vote_HW)
        return mask_HW, encode_pixels(np.rint(255 * vote_HW).astype(np.uint8))

    def open_engine(self, num_threads: int) -> Callable[[FusedShard], ShardOutput]:
        """Load the backend that scores the masks."""
        return partial(self._compute, load_backend(self.backend), num_threads)

    def _compute(self, engine: Segment, num_threads: int, fused: FusedShard) -> ShardOutput:
        images = fused.images
        scores = score_masks(engine, images.image_BHW3, fused.mask_BHW, self.iem, num_threads)
        table = partial(_table, images.without_pixels(), fused, scores, self.kept)
        return self.output(
            images,
            {layout.part(self.name, images.shard): table},
            {"first_masks": fused.first_masks},
        )

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Say how many masks each image had."""
        return {"first_masks": max((each["first_masks"] for each in facts), default=0)}


def _table(images: LoadedShard, fused: FusedShard, scores: IEMResult, kept: pa.Schema) -> pa.Table:
    columns = mask_columns(images, fused.mask_BHW, scores) | fused.columns
    table = pa.table({name: columns[name] for name in schema.FUSED.names}, schema=schema.FUSED)
    return schema.add_kept(table, kept, images.kept)


def _mean(values: Any) -> float | None:
    """Average what is not null."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
