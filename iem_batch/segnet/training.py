"""Training in plain torch.

N = images of one worker in one batch, K = those of one pass, H, W = pixels.

All chance comes from (seed, epoch, row of the image): which images make a batch
(`iem_batch.segnet.order`) and what is done to each does not depend on the number of workers or on
where a training was interrupted. The gradient of a batch is the sum over passes and workers of
gradients of the loss summed and divided by the pixels of the whole batch, so it is the same however
the batch is shared, to rounding.
"""

import io
import pickle
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from iem_batch.errors import StorageError
from iem_batch.segnet.augment import augment, pixel_weights
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import scale_pixels, working_format
from iem_batch.segnet.settings import SegNetSettings, TrainSettings

SumOverWorkers = Callable[[Tensor], object]
"""Adds up a tensor over all workers, in place; `torch.distributed.all_reduce` is one."""

ONE_SIDED_SHARE = 0.001
"""A network has collapsed if it gives less than this share of the corpus' pixels to a side."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One worker's share of a batch, possibly of no image."""

    image_NHW3: Tensor
    """uint8 RGB."""

    mask_NHW: Tensor
    """bool, True is foreground."""

    error_N: Tensor
    """float32, inpainting error of the mask."""

    row_N: Tensor
    """int64, number of the image in the corpus."""

    num_images: int
    """Images of the batch over all workers."""

    @property
    def num_pixels(self) -> int:
        """Pixels of the batch over all workers."""
        return self.num_images * self.mask_NHW.shape[1] * self.mask_NHW.shape[2]


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """How one epoch went, over all images as each was met, so with changing weights."""

    epoch: int
    """Counted from 1."""

    loss: float
    """Binary cross-entropy in nats, mean over pixels."""

    iou: float
    """IoU of predicted and given foreground, over all pixels together; 1 where both are empty."""

    foreground: float
    """Share of the pixels that were predicted foreground."""

    seconds: float
    """Time the epoch took."""

    @property
    def collapsed_to(self) -> Literal["background", "foreground"] | None:
        """The side that nearly every pixel was given to, if there is one."""
        if self.foreground < ONE_SIDED_SHARE:
            return "background"
        return "foreground" if self.foreground > 1 - ONE_SIDED_SHARE else None


@dataclass(kw_only=True)
class Training:
    """A network while it is trained."""

    settings: TrainSettings
    model: SegNet
    optimizer: torch.optim.Optimizer
    gradient: Tensor
    """All gradients of the model in one vector; each parameter's `.grad` is a view of it."""
    averaged: AveragedModel | None
    """Running mean of the weights; None where the last ones are the result."""
    history: list[EpochRecord] = field(default_factory=list)
    """One record for each finished epoch."""

    @property
    def result(self) -> SegNet:
        """The network to predict with."""
        return self.model if self.averaged is None else cast(SegNet, self.averaged.module)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.gradient.device

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return len(self.history) >= self.settings.epochs

    @property
    def checkpoint_due(self) -> bool:
        """Whether the epoch just done is one to write a checkpoint after."""
        return len(self.history) % self.settings.checkpoint_every_epochs == 0

    def checkpoint(self) -> bytes:
        """Write down everything needed to go on."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "history": [asdict(record) for record in self.history],
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    def resume(self, checkpoint: bytes) -> None:
        """Go on from what `checkpoint` wrote; the rest is as if there had been no interruption.

        Raises:
            StorageError: the checkpoint is damaged or of another network.
        """
        try:
            state = torch.load(io.BytesIO(checkpoint), self.device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.history = [EpochRecord(**record) for record in state["history"]]
        except (
            RuntimeError,
            ValueError,
            EOFError,
            KeyError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            raise StorageError(
                f"the training checkpoint is damaged or of another network: {_line(error)}"
            ) from error


def begin_training(
    segnet: SegNetSettings, settings: TrainSettings, device: torch.device
) -> Training:
    """Make a network with the first weights of the seed.

    Args:
        segnet: its shape.
        settings: how it is to be trained.
        device: where.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = SegNet(segnet)
    model.to(device)
    sizes = [parameter.numel() for parameter in model.parameters()]
    gradient = torch.zeros(sum(sizes), device=device)
    parts = torch.split(gradient, sizes)
    for parameter, part in zip(model.parameters(), parts, strict=True):
        parameter.grad = part.view_as(parameter)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    return Training(
        settings=settings,
        model=model,
        optimizer=optimizer,
        gradient=gradient,
        averaged=_running_mean(model, settings.average_decay),
    )


def _running_mean(model: SegNet, decay: float) -> AveragedModel | None:
    """Begin a mean that forgets faster at first: the earliest weights are the worst."""
    if decay == 0:
        return None

    def mean(before: Tensor, weight: Tensor, num_averaged: Tensor | int) -> Tensor:
        steps = int(num_averaged)
        return before.lerp(weight, 1 - min(decay, (1 + steps) / (10 + steps)))

    return AveragedModel(model, avg_fn=mean)


def train_epoch(
    training: Training,
    batches: Iterable[Batch],
    *,
    sum_over_workers: SumOverWorkers | None = None,
) -> EpochRecord:
    """Train one more epoch, or a worker's share of it; appends to `training.history`.

    Args:
        training: its weights, optimizer and history change.
        batches: those of the epoch, each with the images of this worker.
        sum_over_workers: needed when there are several.

    Returns:
        The record, the same for every worker but for the time.
    """
    started = time.monotonic()
    epoch, pixels = len(training.history), 0
    tally = torch.zeros(4, dtype=torch.float64, device=training.device)
    training.model.train()
    for batch in batches:
        tally += _step(training, batch, epoch, sum_over_workers)
        pixels += batch.num_pixels
    if sum_over_workers:
        sum_over_workers(tally)
    loss, both, either, predicted = (tally / pixels).tolist()
    record = EpochRecord(
        epoch=epoch + 1,
        loss=loss,
        iou=both / either if either else 1.0,
        foreground=predicted,
        seconds=round(time.monotonic() - started, 3),
    )
    training.history.append(record)
    return record


def _step(
    training: Training, batch: Batch, epoch: int, sum_over_workers: SumOverWorkers | None
) -> Tensor:
    """Make one step of the optimizer; returns what `_backward` does, over all passes."""
    tally = torch.zeros(4, dtype=torch.float64, device=training.device)
    training.gradient.zero_()
    for start in range(0, len(batch.row_N), training.settings.images_per_pass):
        part = slice(start, start + training.settings.images_per_pass)
        image_K3HW = scale_pixels(batch.image_NHW3[part].to(training.device))
        target_K1HW = batch.mask_NHW[part].to(training.device).float().unsqueeze(1)
        image_K3HW, target_K1HW = augment(
            image_K3HW, target_K1HW, batch.row_N[part], training.settings, epoch
        )
        weight_K111 = pixel_weights(batch.error_N[part].to(training.device), training.settings)
        tally += _backward(training, image_K3HW, target_K1HW, weight_K111, batch.num_pixels)
    if sum_over_workers:  # also of a batch that has no image of this worker: the others wait
        sum_over_workers(training.gradient)
    training.optimizer.step()
    if training.averaged is not None:
        training.averaged.update_parameters(training.model)
    return tally


def _backward(
    training: Training,
    image_K3HW: Tensor,
    target_K1HW: Tensor,
    weight_K111: Tensor | None,
    batch_pixels: int,
) -> Tensor:
    """Add the gradient of one pass.

    Returns:
        Sums over its pixels: loss without weights, both foreground, either foreground, predicted
        foreground.
    """
    with working_format(training.settings.precision, training.device):
        logit_K1HW = training.model(image_K3HW).float()
    loss = F.binary_cross_entropy_with_logits(logit_K1HW, target_K1HW, reduction="sum")
    weighted = loss
    if weight_K111 is not None:
        weighted = F.binary_cross_entropy_with_logits(
            logit_K1HW, target_K1HW, weight_K111, reduction="sum"
        )
    (weighted / batch_pixels).backward()  # type: ignore[no-untyped-call]
    predicted, given = logit_K1HW.detach() > 0, target_K1HW > 0.5
    counts = [(predicted & given).sum(), (predicted | given).sum(), predicted.sum()]
    return torch.stack([loss.detach(), *counts]).double()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
