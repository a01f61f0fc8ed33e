"""Training in plain torch.

B = images of the corpus, N = those of one batch, K = those of one pass, H, W = pixels.

All chance comes from (seed, epoch): which images make a batch and which are mirrored does not
depend on the number of workers or on where a training was interrupted. The gradient of a batch is
the sum over passes and workers of gradients of the loss summed and divided by the pixels of the
whole batch, so it is the same however the batch is shared, to rounding.
"""

import io
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from iem_batch.errors import StorageError
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import scale_pixels, working_format
from iem_batch.segnet.settings import SegNetSettings, TrainSettings

SumOverWorkers = Callable[[Tensor], object]
"""Adds up a tensor over all workers, in place; `torch.distributed.all_reduce` is one."""

ONE_SIDED_SHARE = 0.001
"""A network has collapsed if it gives less than this share of the corpus' pixels to a side."""


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
    image_BHW3: Tensor,
    mask_BHW: Tensor,
    *,
    rank: int = 0,
    sum_over_workers: SumOverWorkers | None = None,
) -> EpochRecord:
    """Train one more epoch, or a worker's share of it; appends to `training.history`.

    Args:
        training: its weights, optimizer and history change.
        image_BHW3: uint8 RGB, the whole corpus.
        mask_BHW: bool, True is foreground.
        rank: which of the `num_workers` workers this is.
        sum_over_workers: needed when there are several.

    Returns:
        The record, the same for every worker but for the time.
    """
    started = time.monotonic()
    settings, epoch = training.settings, len(training.history)
    tally = torch.zeros(4, dtype=torch.float64, device=training.device)
    mirrored_B = _mirrored(len(image_BHW3), settings, epoch)
    training.model.train()
    for batch_N in batches(len(image_BHW3), settings, epoch):
        training.gradient.zero_()
        share = np.array_split(batch_N, settings.num_workers)[rank]
        for index_K in _passes(share, settings.images_per_pass):
            image_K3HW, target_K1HW = _to_network(image_BHW3, mask_BHW, index_K, training.device)
            flip_K = mirrored_B[index_K].to(training.device)
            image_K3HW[flip_K] = image_K3HW[flip_K].flip(-1)
            target_K1HW[flip_K] = target_K1HW[flip_K].flip(-1)
            tally += _backward(
                training, image_K3HW, target_K1HW, mask_BHW[0].numel() * len(batch_N)
            )
        if sum_over_workers:
            sum_over_workers(training.gradient)
        training.optimizer.step()
        if training.averaged is not None:
            training.averaged.update_parameters(training.model)
    if sum_over_workers:
        sum_over_workers(tally)
    loss, both, either, predicted = (tally / mask_BHW.numel()).tolist()
    record = EpochRecord(
        epoch=epoch + 1,
        loss=loss,
        iou=both / either if either else 1.0,
        foreground=predicted,
        seconds=round(time.monotonic() - started, 3),
    )
    training.history.append(record)
    return record


def _backward(
    training: Training, image_K3HW: Tensor, target_K1HW: Tensor, batch_pixels: int
) -> Tensor:
    """Add the gradient of one pass.

    Returns:
        Sums over its pixels: loss, both foreground, either foreground, predicted foreground.
    """
    with working_format(training.settings.precision, training.device):
        logit_K1HW = training.model(image_K3HW).float()
    loss = F.binary_cross_entropy_with_logits(logit_K1HW, target_K1HW, reduction="sum")
    (loss / batch_pixels).backward()  # type: ignore[no-untyped-call]
    predicted, given = logit_K1HW.detach() > 0, target_K1HW > 0
    counts = [(predicted & given).sum(), (predicted | given).sum(), predicted.sum()]
    return torch.stack([loss.detach(), *counts]).double()


def batches(num_images: int, settings: TrainSettings, epoch: int) -> list[NDArray[np.int64]]:
    """Cut one epoch into batches.

    Args:
        num_images: size of the corpus, 1 or more.
        settings: batch size and seed.
        epoch: counted from 0.

    Returns:
        batch_N: indices of images; every image is in one batch, batches differ by at most one.
    """
    order_B = np.random.default_rng((settings.seed, epoch, 0)).permutation(num_images)
    return np.array_split(order_B, -(-num_images // settings.batch_size))


def _mirrored(num_images: int, settings: TrainSettings, epoch: int) -> Tensor:
    if not settings.horizontal_flips:
        return torch.zeros(num_images, dtype=torch.bool)
    rng = np.random.default_rng((settings.seed, epoch, 1))
    return torch.from_numpy(rng.random(num_images) < 0.5)


def _passes(index_N: NDArray[np.int64], images_per_pass: int) -> Iterator[Tensor]:
    for start in range(0, len(index_N), images_per_pass):
        yield torch.from_numpy(index_N[start : start + images_per_pass])


def _to_network(
    image_BHW3: Tensor, mask_BHW: Tensor, index_K: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    target_K1HW = mask_BHW[index_K].to(device).float().unsqueeze(1)
    return scale_pixels(image_BHW3[index_K].to(device)), target_K1HW


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
