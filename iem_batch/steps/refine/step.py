"""The step `refine`: IEM started from SegNet's masks."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import SourceError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend
from iem_batch.iem.settings import IEMSettings
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.killers import REASON
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary, settings_of
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows
from iem_batch.steps.segment.step import masks_table


def build(job: Job) -> "RefineStep":
    """Make the step of a job whose engine is settled.

    Raises:
        StepMissingError: there are no predictions.
        ShardsFailedError: there are only some.
    """
    return RefineStep.of(
        job,
        job.place,
        iem=job.settings.iem,
        backend=job.settings.segment.backend,
        predictions=settings_of(job.place, "predict"),
    )


def finish(job: Job, built: "RefineStep", summary: Summary) -> None:
    """Say what came out."""
    say_rows(job, built, summary)


@dataclass(frozen=True, kw_only=True)
class PredictedShard:
    """The images of a shard and SegNet's masks for them."""

    images: LoadedShard
    mask_BHW: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RefineStep(ImageStep):
    """IEM over a shard, from the predicted masks; see `iem_batch.exec.step.ShardStep`."""

    iem: IEMSettings
    backend: str
    predictions: str
    """Digest of what predict was made with."""
    name: str = "refine"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "iem": asdict(self.iem),
            "backend": self.backend,
            "predictions": self.predictions,
        }

    def load(self, shard: int, wanted: Container[str] | None = None) -> PredictedShard:
        """Decode the images of a shard and read their predicted masks.

        Raises:
            SourceError: other images can be read now than when they were predicted; the message
                names them.
        """
        images = self.load_images(shard, wanted)
        predictions = self._predictions(shard, images, wanted)
        predicted_id = predictions["image_id"].to_pylist()
        if predicted_id != images.image_id:
            changed = sorted(set(predicted_id) ^ set(images.image_id))
            raise SourceError(
                f"{len(changed)} images of {self.plan.source_url} have vanished or come back since "
                f"they were predicted, the first is {changed[0]}; run `iem-batch predict` again "
                "with --overwrite"
            )
        size = self.decode.size_px
        masks = [schema.decode_mask(mask["bytes"]) for mask in predictions["mask"].to_pylist()]
        return PredictedShard(
            images=images, mask_BHW=np.array(masks, dtype=np.bool_).reshape(-1, size, size)
        )

    def _predictions(
        self, shard: int, images: LoadedShard, wanted: Container[str] | None
    ) -> pa.Table:
        """Read the predictions of those images that were to be read and did not kill since."""
        table = self.place.read_table(layout.part("predict", shard), columns=["image_id", "mask"])
        killers = {row["image_id"] for row in images.rejected if row["error_class"] == REASON}
        kept = [
            (wanted is None or image_id in wanted) and image_id not in killers
            for image_id in table["image_id"].to_pylist()
        ]
        return table.filter(pa.array(kept, pa.bool_()))

    def open_engine(self, num_threads: int) -> Callable[[PredictedShard], ShardOutput]:
        """Load the backend."""
        return partial(self._compute, load_backend(self.backend), num_threads)

    def _compute(self, engine: Segment, num_threads: int, predicted: PredictedShard) -> ShardOutput:
        images = predicted.images
        result = engine(
            images.image_BHW3, predicted.mask_BHW[:, None], self.iem, num_threads=num_threads
        )
        return ShardOutput(
            shard=images.shard,
            tables={
                layout.part(self.name, images.shard): partial(
                    masks_table, images.without_pixels(), result, (None,)
                )
            },
            planned=images.planned,
            ok=len(images.image_id),
            quarantined=len(images.rejected),
        )
