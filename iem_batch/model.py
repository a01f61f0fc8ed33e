"""A trained network on some images in memory or on disk: no run folder, no Ray, no pyarrow.

B = images, S = pixels of a side of the network's square, H, W = pixels of an original.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from iem_batch.given import decode_given
from iem_batch.model_file import read_model_file
from iem_batch.processes import num_cpus
from iem_batch.results import Results, at_photo_size
from iem_batch.segnet.prediction import predict_probability
from iem_batch.segnet.weights import ModelRecord, load_weights, read_record, settings_of

if TYPE_CHECKING:
    from iem_batch.steps.report.sheet import Row


@dataclass(frozen=True, kw_only=True, repr=False)
class Prediction(Results):
    """What `Model.predict` found; see `iem_batch.results.Results` for what it can do."""

    probabilities: NDArray[np.float32]
    """(B, S, S) in [0, 1]: how probably a pixel is foreground."""

    threshold: float
    """Probability above which a pixel is foreground."""

    def _row(self, b: int) -> "Row":
        """Draw the photo, what lies inside its mask, and the probability."""
        from iem_batch.steps.report.panels import PHOTO, Panel, cut_out
        from iem_batch.steps.report.sheet import Row

        name, image_SS3, probability_SS = self.names[b], self.images[b], self.probabilities[b]
        mask_SS = probability_SS > self.threshold
        grey_SS = np.rint(255 * probability_SS).astype(np.uint8)
        pictures = {
            PHOTO: image_SS3,
            "mask": cut_out(image_SS3, mask_SS),
            "probability": np.repeat(grey_SS[..., None], 3, axis=2),
        }
        panels = [
            Panel(label=label, alt=f"{label} of {name}", picture_HW3=picture)
            for label, picture in pictures.items()
        ]
        return Row(caption=f"{name}: area {100 * mask_SS.mean():.0f} %", panels=panels)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained network that is ready for photos."""

    network: nn.Module
    """Takes (B, 3, S, S) in [-1, 1], gives logits (B, 1, S, S), float32."""

    record: ModelRecord
    """What it was made with, and how photos become what it takes."""

    url: str
    """Where its file lies."""

    def predict(
        self, images: Any, *, threshold: float | None = None, num_threads: int | None = None
    ) -> Prediction:
        """Find the foreground of photos.

        Args:
            images: one image or any number of them; see `iem_batch.given.decode_given`.
            threshold: probability above which a pixel is foreground; None takes the model's own.
            num_threads: passes at once on a CPU; None takes one for each processor.

        Raises:
            ImageRejectedError: no image can be used; the message names the first.
            SettingsError: something is not an image.
        """
        decode = self.record.decode
        given = decode_given(images, decode)
        image_BSS3 = given.pixels(decode.size_px)
        probability_BSS = predict_probability(
            self.network, image_BSS3, num_threads=num_threads or num_cpus()
        )
        least = self.record.threshold if threshold is None else threshold
        return Prediction(
            names=given.names,
            masks=at_photo_size(probability_BSS > least, given.images, decode.fit),
            rejected=given.rejected,
            images=image_BSS3,
            probabilities=probability_BSS,
            threshold=least,
        )


def load(
    where: str | os.PathLike[str],
    *,
    backbone: str | None = None,
    backbone_args: Mapping[str, Any] | None = None,
    device: str | None = None,
) -> Model:
    """Load a trained network; its file says all that using it takes.

    Args:
        where: a run, its folder train/, a weights file, what `ship` wrote, or the URL of one.
        backbone: class of the network where it is not SegNet, "package.module:Class". It is
            imported only if it is named here, whatever the file says.
        backbone_args: what that class is called with.
        device: as torch names it; None takes the GPU where there is one.

    Raises:
        StorageError: there is no file, or it is a pickle, damaged, or larger than memory allows.
        SettingsError: it is of another network, or of another program.
    """
    file = read_model_file(where)
    record = read_record(file.data, file.url)
    settings = settings_of(record, file.url, backbone, backbone_args)
    network = load_weights(file.data, settings, file.url)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Model(network=network.to(chosen).eval(), record=record, url=file.url)
