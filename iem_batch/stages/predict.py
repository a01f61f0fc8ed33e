"""The step `predict`: SegNet's mask of every image of a shard, and its inpainting error."""

import os
from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.load import LoadedShard
from iem_batch.data.run_folder import RunFolder
from iem_batch.iem.backends import Segment, load_backend
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import predict_probability
from iem_batch.segnet.weights import load_weights
from iem_batch.shards.step import ShardOutput
from iem_batch.stages.image_step import ImageStep
from iem_batch.stages.settings import PredictSettings

THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""What auto chooses from."""

SAMPLE = 512
"""Images of the corpus that auto looks at, at most."""


@dataclass(frozen=True, kw_only=True)
class PredictStep(ImageStep):
    """SegNet over a shard; see `iem_batch.shards.step.ShardStep`."""

    iem: IEMSettings
    """Only its blur matters here: the predicted mask is scored, not changed."""
    backend: str
    threshold: float
    """Probability above which a pixel is foreground."""
    name: str = "predictions"

    def load(self, shard: int, wanted: Container[str] | None = None) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the trained weights and the backend that scores the masks."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_weights(self.run.read_bytes(run_folder.WEIGHTS)).to(device)
        return partial(self._compute, model, load_backend(self.backend), num_threads)

    def _compute(
        self, model: SegNet, engine: Segment, num_threads: int, loaded: LoadedShard
    ) -> ShardOutput:
        probability_BHW = predict_probability(model, loaded.image_BHW3, num_threads=num_threads)
        mask_BHW = probability_BHW > self.threshold
        scores = engine(
            loaded.image_BHW3,
            mask_BHW[:, None],
            replace(self.iem, iterations=0),
            num_threads=num_threads,
        )
        grey_BHW = np.rint(255 * probability_BHW).astype(np.uint8)
        table = partial(_predictions_table, loaded.without_pixels(), mask_BHW, grey_BHW, scores)
        return ShardOutput(
            shard=loaded.shard,
            tables={run_folder.part(self.name, loaded.shard): table},
            planned=loaded.planned,
            ok=len(loaded.image_id),
            quarantined=len(loaded.rejected),
        )


def _predictions_table(
    loaded: LoadedShard,
    mask_BHW: NDArray[np.bool_],
    grey_BHW: NDArray[np.uint8],
    scores: IEMResult,
) -> pa.Table:
    columns = {
        "image_id": loaded.image_id,
        "uri": loaded.uri,
        "width": loaded.width,
        "height": loaded.height,
        "mask": schema.image_column([schema.encode_mask(mask_HW) for mask_HW in mask_BHW]),
        "probability": schema.image_column([schema.encode_pixels(grey_HW) for grey_HW in grey_BHW]),
        "error": scores.error_BS[:, 0],
        "error_foreground": scores.error_foreground_BS[:, 0],
        "error_background": scores.error_background_BS[:, 0],
        "area": mask_BHW.mean(axis=(1, 2)) if len(mask_BHW) else np.empty(0),
        "status": [Status(int(code)).name.lower() for code in scores.status_BS[:, 0]],
    }
    return pa.table(columns, schema=schema.PREDICTIONS)


def predictions_depend_on(step: PredictStep, plan_digest: str, weights: bytes) -> dict[str, Any]:
    """List what the files of predictions/ depend on, for `RunFolder.begin_step`.

    Args:
        step: the step.
        plan_digest: digest of the plan.
        weights: the trained weights, as stored.
    """
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "plan": plan_digest,
        "decode": asdict(step.decode),
        "iem": asdict(step.iem),
        "backend": step.backend,
        "threshold": step.threshold,
        "weights": schema.checksum(weights),
    }


def resolve_threshold(
    run: RunFolder, settings: PredictSettings, iem: IEMSettings, backend: str
) -> float:
    """Give the threshold of a run; what auto chooses is stored beside the weights and kept.

    Each candidate's masks of up to `SAMPLE` images of the corpus are scored by their inpainting
    error; the highest mean wins, of equal ones the lowest threshold.

    Args:
        run: a run whose SegNet is trained.
        settings: a number, or auto.
        iem: the blur that scores the masks.
        backend: the engine that scores them.
    """
    if settings.threshold != "auto":
        return float(settings.threshold)
    if not run.exists(run_folder.THRESHOLD):
        rows = run.read_table(run_folder.part("corpus", 0), columns=["image"]).slice(0, SAMPLE)
        images = [schema.decode_pixels(image["bytes"]) for image in rows["image"].to_pylist()]
        means = _mean_errors(run, np.stack(images), iem, backend)
        best = min(means, key=lambda threshold: (-means[threshold], threshold))
        run.write_json(run_folder.THRESHOLD, {"threshold": best, "mean_errors": means})
    return float(run.read_json(run_folder.THRESHOLD)["threshold"])


def _mean_errors(
    run: RunFolder, image_BHW3: NDArray[np.uint8], iem: IEMSettings, backend: str
) -> dict[float, float]:
    model = load_weights(run.read_bytes(run_folder.WEIGHTS))
    num_threads = os.cpu_count() or 1
    probability_BHW = predict_probability(model, image_BHW3, num_threads=num_threads)
    mask_BSHW = np.stack([probability_BHW > threshold for threshold in THRESHOLDS], axis=1)
    scores = load_backend(backend)(
        image_BHW3, mask_BSHW, replace(iem, iterations=0), num_threads=num_threads
    )
    return dict(zip(THRESHOLDS, scores.error_BS.mean(axis=0).tolist(), strict=True))
