"""The step `predict`: SegNet's mask of every image of a shard, and its inpainting error."""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import nn

from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import Segment, load_backend, score_masks
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.png import encode_pixels
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary
from iem_batch.segnet.prediction import open_network, predict_probability
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import load_weights
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows
from iem_batch.steps.mask_columns import mask_columns
from iem_batch.steps.predict.settings import PredictSettings
from iem_batch.steps.train.layout import WEIGHTS


def build(job: Job) -> "PredictStep":
    """Make the step of a job whose engine is settled.

    Raises:
        StepMissingError: there is no trained network.
        StorageError: its weights are damaged.
        SettingsError: they are of another network than the settings say.
    """
    job.place.require(layout.summary("train"), "train")
    settings = job.settings
    weights = job.place.read_bytes(WEIGHTS)
    # Fails before anything is dropped or claimed.
    load_weights(weights, settings.segnet, job.place.url_of(WEIGHTS))
    return PredictStep.of(
        job,
        job.place,
        iem=settings.iem,
        backend=settings.segment.backend,
        segnet=settings.segnet,
        weights=schema.checksum(weights),
        predict=settings.predict,
    )


def finish(job: Job, built: "PredictStep", summary: Summary) -> None:
    """Say what came out."""
    print(f"predict: foreground is where the probability is above {built.predict.threshold}")
    say_rows(job, built, summary)


@dataclass(frozen=True, kw_only=True)
class PredictStep(ImageStep):
    """SegNet over a shard; see `iem_batch.exec.step.ShardStep`."""

    iem: IEMSettings
    """Only its blur matters here: the predicted mask is scored, not changed."""
    backend: str
    segnet: SegNetSettings
    """Of the network whose weights the run has."""
    weights: str
    """SHA-256 of the trained weights."""
    predict: PredictSettings
    name: str = "predict"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {
            "plan": self.plan.digest,
            "decode": asdict(self.decode),
            "iem": asdict(self.iem),
            "backend": self.backend,
            "segnet": asdict(self.segnet),
            "predict": asdict(self.predict),
            "weights": self.weights,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the trained weights and the backend that scores the masks."""
        name = self.place.url_of(WEIGHTS)
        model = open_network(self.place.read_bytes(WEIGHTS), self.segnet, name)
        return partial(self._compute, model, load_backend(self.backend), num_threads)

    def _compute(
        self, model: nn.Module, engine: Segment, num_threads: int, loaded: LoadedShard
    ) -> ShardOutput:
        probability_BHW = predict_probability(model, loaded.image_BHW3, num_threads=num_threads)
        mask_BHW = probability_BHW > self.predict.threshold
        scores = score_masks(engine, loaded.image_BHW3, mask_BHW, self.iem, num_threads)
        grey_BHW = None
        if self.predict.probability:
            grey_BHW = np.rint(255 * probability_BHW).astype(np.uint8)
        table = partial(_predictions_table, loaded.without_pixels(), mask_BHW, grey_BHW, scores)
        return self.output(loaded, {layout.part(self.name, loaded.shard): table})


def _predictions_table(
    loaded: LoadedShard,
    mask_BHW: NDArray[np.bool_],
    grey_BHW: NDArray[np.uint8] | None,
    scores: IEMResult,
) -> pa.Table:
    columns = mask_columns(loaded, mask_BHW, scores)
    if grey_BHW is None:
        return pa.table(columns, schema=schema.REFINED)
    greys = [encode_pixels(grey_HW) for grey_HW in grey_BHW]
    columns["probability"] = schema.image_column(greys)
    names = schema.PREDICTED.names
    return pa.table({name: columns[name] for name in names}, schema=schema.PREDICTED)
