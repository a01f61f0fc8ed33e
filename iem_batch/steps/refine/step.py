"""The step `refine`: SegNet's masks made better, by a graph cut or by IEM.

A graph cut is made where images are decoded, on CPUs, so that it never holds up a GPU; the engine
then scores the masks.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.errors import SourceError, StepMissingError
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend, score_masks
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import REASON
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary, settings_of
from iem_batch.steps.fuse.fusion import graph_cut, places
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows
from iem_batch.steps.mask_columns import mask_columns
from iem_batch.steps.quarantine import without_label
from iem_batch.steps.refine.settings import RefineSettings
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count

SURELY_BACKGROUND, SURELY_FOREGROUND = 0.1, 0.9
"""Probabilities below and above which a pixel is not in doubt."""

SEGNET_WEIGHT = 4
"""Weight of SegNet's probability beside the fused mask, which has 1.

The mask is worth 1.2 points of IoU on scenes, where SegNet alone is below its labels, 0.8 on
flowers17 and -0.8 on people; with a weight of 2 they are 1.3, 0.3 and -1.2, of 6 0.9, 0.8, -0.5.
"""


def build(job: Job) -> "RefineStep":
    """Make the step of a job whose engine is settled.

    Raises:
        StepMissingError: there are no predictions, or none with probabilities.
        ShardsFailedError: there are only some.
    """
    settings = job.settings
    if settings.refine.method == "cut" and not settings.predict.probability:
        raise StepMissingError(
            "a graph cut starts from SegNet's probabilities; run `iem-batch predict` with "
            "--predict.probability=true, or refine with --refine.method=iem"
        )
    return RefineStep.of(
        job,
        job.place,
        iem=settings.iem,
        backend=settings.segment.backend,
        refine=settings.refine,
        predictions=settings_of(job.place, "predict"),
        labels=settings_of(job.run, "fuse") if settings.refine.method == "cut" else None,
    )


def finish(job: Job, built: "RefineStep", summary: Summary) -> None:
    """Say what came out."""
    say_rows(job, built, summary)


@dataclass(frozen=True, kw_only=True)
class PredictedShard:
    """The images of a shard and a mask for each: SegNet's, or cut out from what is known."""

    images: LoadedShard
    mask_BHW: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RefineStep(ImageStep):
    """The predicted masks of a shard made better; see `iem_batch.exec.step.ShardStep`."""

    iem: IEMSettings
    """Of a graph cut only its blur and its colours matter: the mask is scored, not changed."""
    backend: str
    refine: RefineSettings
    predictions: str
    """Digest of what predict was made with."""
    labels: str | None
    """Digest of what fuse was made with; None where only SegNet's masks matter."""
    name: str = "refine"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "iem": asdict(self.iem),
            "backend": self.backend,
            "refine": asdict(self.refine),
            "predictions": self.predictions,
            "labels": self.labels,
            "opencv": cv2.__version__,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> PredictedShard:
        """Decode the images of a shard and read their predictions; graph cuts are made here.

        Raises:
            SourceError: other images can be read now than when they were predicted; the message
                names them.
        """
        images = self.load_images(shard, wanted)
        if self.refine.method == "iem":
            masks: Iterable[NDArray[np.bool_]] = map(
                decode_mask, self._pictures(self.place, "predict", "mask", images, wanted)
            )
        else:
            masks = map_ahead(
                _cut_with_label,
                images.image_BHW3,
                self._pictures(self.place, "predict", "probability", images, wanted),
                self._labels(images, wanted),
                num_threads=num_threads,
            )
        size = self.decode.size_px
        mask_BHW = np.array(list(masks), dtype=np.bool_).reshape(-1, size, size)
        return PredictedShard(images=images, mask_BHW=mask_BHW)

    def _labels(self, images: LoadedShard, wanted: Container[str] | None) -> list[bytes | None]:
        """Read the fused mask of each image; None of those that have none."""
        none = without_label(self.run, images.shard).keys() & set(images.image_id)
        kept = [b for b, name in enumerate(images.image_id) if name not in none]
        labelled = replace(images, image_id=[images.image_id[b] for b in kept])
        found = self._pictures(self.run, "fuse", "mask", labelled, wanted)
        by_image = dict(zip(labelled.image_id, found, strict=True))
        return [by_image.get(image_id) for image_id in images.image_id]

    def _pictures(
        self,
        place: RunFolder,
        step: str,
        column: str,
        images: LoadedShard,
        wanted: Container[str] | None,
    ) -> list[bytes]:
        """Read a picture of each image, of those that were to be read and did not kill since."""
        table = place.read_table(layout.part(step, images.shard), columns=["image_id", column])
        killers = {row["image_id"] for row in images.rejected if row["error_class"] == REASON}
        kept = {
            image_id: picture["bytes"]
            for image_id, picture in zip(
                table["image_id"].to_pylist(), table[column].to_pylist(), strict=True
            )
            if (wanted is None or image_id in wanted) and image_id not in killers
        }
        if list(kept) != images.image_id:
            changed = sorted(set(kept) ^ set(images.image_id))
            raise SourceError(
                f"{count(len(changed), 'image')} of {self.plan.source_url} have vanished or come "
                f"back since {step} was run, the first is {changed[0]}; run `iem-batch {step}` "
                "again with --overwrite"
            )
        return list(kept.values())

    def open_engine(self, num_threads: int) -> Callable[[PredictedShard], ShardOutput]:
        """Load the backend."""
        return partial(self._compute, load_backend(self.backend), num_threads)

    def _compute(self, engine: Segment, num_threads: int, predicted: PredictedShard) -> ShardOutput:
        images, mask_BHW = predicted.images, predicted.mask_BHW
        if self.refine.method == "cut":
            result = score_masks(engine, images.image_BHW3, mask_BHW, self.iem, num_threads)
        else:
            result = engine(images.image_BHW3, mask_BHW[:, None], self.iem, num_threads=num_threads)
        table = partial(_table, images.without_pixels(), result)
        return self.output(images, {layout.part(self.name, images.shard): table})


def _table(images: LoadedShard, result: IEMResult) -> pa.Table:
    return pa.table(mask_columns(images, result.mask_BSHW[:, 0], result), schema=schema.REFINED)


def _cut_with_label(
    image_HW3: NDArray[np.uint8], probability_png: bytes, label_png: bytes | None
) -> NDArray[np.bool_]:
    """Cut out from SegNet's probabilities and the fused mask: certain is what both say."""
    probability_HW = decode_pixels(probability_png)
    if label_png is None:
        return cut_out(image_HW3, probability_HW)
    weighted_HW = SEGNET_WEIGHT * probability_HW.astype(np.uint16)
    label_HW = decode_mask(label_png) * np.uint16(255)
    mean_HW = ((weighted_HW + label_HW) // (SEGNET_WEIGHT + 1)).astype(np.uint8)
    return graph_cut(image_HW3, _trimap(mean_HW), iterations=1)


def cut_out(image_HW3: NDArray[np.uint8], probability_HW: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Cut the foreground out by colours and edges, from a network's probabilities alone.

    As where masks are fused, the frame is background but where the network is sure: worth 0.2 to
    1.2 points of IoU on photos that it was not trained on. Beside a fused mask, whose frame was
    background already, it costs 1 on scenes.

    Args:
        image_HW3: uint8 RGB.
        probability_HW: of foreground, 255 = certain.

    Returns:
        mask_HW: True is foreground.
    """
    trimap_HW = _trimap(probability_HW)
    _, is_frame_HW, _ = places(*trimap_HW.shape)
    trimap_HW[is_frame_HW & (trimap_HW != cv2.GC_FGD)] = cv2.GC_BGD
    return graph_cut(image_HW3, trimap_HW, iterations=1)


def _trimap(probability_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share_HW = probability_HW / 255
    trimap_HW = np.where(share_HW > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap_HW[share_HW < SURELY_BACKGROUND] = cv2.GC_BGD
    trimap_HW[share_HW > SURELY_FOREGROUND] = cv2.GC_FGD
    return trimap_HW
