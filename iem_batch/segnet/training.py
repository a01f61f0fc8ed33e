"""Training in plain torch.

N = images of one worker in one batch, K = those of one pass, H, W = pixels.

All chance comes from (seed, epoch, row of the image): which images make a batch
(`iem_batch.segnet.order`) and what is done to each does not depend on the number of workers or on
where a training was interrupted. The gradient of a batch is the sum over passes and workers of
gradients of the loss summed and divided by the pixels of the whole batch, so it is the same however
the batch is shared, to rounding.

Where labels are held back, the network after the epoch that agrees with them best is the result.
"""

import copy
import io
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from iem_batch.errors import StorageError
from iem_batch.segnet.backbone import differences, make_network, own_chance, share_statistics
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.collapse import Collapse, Side, Watch, collapsed_to
from iem_batch.segnet.gradient import Tally, add_gradient
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.stopping import best_epoch, is_over
from iem_batch.segnet.validation import Labelled, validate

Weights = tuple[Tensor, ...] | list[Tensor]

SumOverWorkers = Callable[[Tensor], object]
"""Adds up a tensor over all workers, in place; `torch.distributed.all_reduce` is one."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """How one epoch went: means over its images, each with the weights at its step."""

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

    val_loss: float | None = None
    """The loss on the labels held back, after the epoch; None where none are."""

    val_iou: float | None = None
    """The IoU with them."""

    @property
    def collapsed_to(self) -> Side | None:
        """The side that nearly every pixel was given to, if there is one."""
        return collapsed_to(self.foreground)


@dataclass(kw_only=True)
class Training:
    """A network while it is trained."""

    settings: TrainSettings
    segnet: SegNetSettings
    model: nn.Module
    optimizer: torch.optim.Optimizer
    gradient: Tensor
    """All gradients of the model in one vector; each parameter's `.grad` is a view of it."""
    averaged: AveragedModel | None
    """Running mean of the weights; None where the last ones are the result."""
    history: list[EpochRecord] = field(default_factory=list)
    """One record for each finished epoch."""
    best: nn.Module | None = None
    """Copy of `latest` after the best epoch; None where the last one is the result."""

    @property
    def latest(self) -> nn.Module:
        """The network to predict with after the epochs done."""
        return self.model if self.averaged is None else self.averaged.module

    @property
    def result(self) -> nn.Module:
        """The network to predict with."""
        return self.latest if self.best is None else self.best

    @property
    def result_epoch(self) -> EpochRecord:
        """The epoch that `result` is of."""
        epoch = None if self.best is None else best_epoch(self._scores)
        return self.history[-1 if epoch is None else epoch - 1]

    @property
    def _scores(self) -> list[float | None]:
        return [record.val_iou for record in self.history]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.gradient.device

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or no better one is to be expected."""
        assert self.settings.epochs != "auto"
        return is_over(self._scores, self.settings.epochs, self.settings.patience)

    @property
    def checkpoint_due(self) -> bool:
        """Whether the epoch just done is one to write a checkpoint after."""
        return len(self.history) % self.settings.checkpoint_every_epochs == 0

    def checkpoint(self) -> bytes:
        """Write down everything needed to go on."""
        state = {
            "segnet": asdict(self.segnet),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "best": None if self.best is None else self.best.state_dict(),
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
            changed = differences(state["segnet"], self.segnet)
            if changed:
                raise StorageError(f"the training checkpoint is of another network: {changed}")
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.best = None
            if state["best"] is not None:
                self.best = copy.deepcopy(self.latest)
                self.best.load_state_dict(state["best"])
            self.history = [EpochRecord(**record) for record in state["history"]]
        except (StorageError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # torch raises whatever the damage leads to
            raise StorageError(
                f"the training checkpoint is damaged ({type(error).__name__})"
            ) from error

    def add(self, record: EpochRecord) -> None:
        """Note an epoch just done, and keep a copy of the network if it is the best so far."""
        self.history.append(record)
        if self.settings.patience is not None and best_epoch(self._scores) == record.epoch:
            self.best = copy.deepcopy(self.latest)


def begin_training(
    segnet: SegNetSettings, settings: TrainSettings, device: torch.device
) -> Training:
    """Make a network with the first weights of the seed.

    Args:
        segnet: which network.
        settings: how it is to be trained.
        device: where.

    Raises:
        SettingsError: the network cannot be made.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = make_network(segnet)
    model.to(device)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sizes = [parameter.numel() for parameter in learning]
    gradient = torch.zeros(sum(sizes), device=device)
    parts = torch.split(gradient, sizes)
    for parameter, part in zip(learning, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    return Training(
        settings=settings,
        segnet=segnet,
        model=model,
        optimizer=torch.optim.Adam(learning, lr=settings.learning_rate),
        gradient=gradient,
        averaged=_running_mean(model, settings.average_decay),
    )


def _running_mean(model: nn.Module, decay: float) -> AveragedModel | None:
    """Start a mean that forgets faster at first: the earliest weights are the worst.

    Buffers, such as another network's statistics, are the last ones.
    """
    if decay == 0:
        return None

    def mean(before: Weights, weights: Weights, num_averaged: Tensor | int) -> None:
        steps = int(num_averaged)
        torch._foreach_lerp_(before, weights, 1 - min(decay, (1 + steps) / (10 + steps)))

    return AveragedModel(model, multi_avg_fn=mean)


def train_epoch(
    training: Training,
    batches: Iterable[Batch],
    *,
    held_back: Iterable[Labelled] = (),
    sum_over_workers: SumOverWorkers | None = None,
    on_collapse: Callable[[Collapse], object] | None = None,
) -> EpochRecord:
    """Train one more epoch, or a worker's share of it; it is added to `training`.

    Args:
        training: its weights, optimizer and history change.
        batches: those of the epoch, each with the images of this worker.
        held_back: this worker's share of the labels that are not learned.
        sum_over_workers: needed when there are several.
        on_collapse: called once if the network collapses before the epoch is over.

    Returns:
        The record, the same for every worker but for the time.
    """
    started = time.monotonic()
    epoch, pixels = len(training.history), 0
    tally = torch.zeros(len(Tally._fields), dtype=torch.float64, device=training.device)
    watch = Watch(epoch + 1, on_collapse)
    training.model.train()
    for batch in batches:
        sums = _step(training, batch, epoch, sum_over_workers)
        watch.add(sums[-1], batch.mask_NHW.numel())
        tally += sums
        pixels += batch.num_pixels
    if sum_over_workers:
        sum_over_workers(tally)
        share_statistics(training.model, sum_over_workers)
        if training.averaged is not None:
            share_statistics(training.averaged.module, sum_over_workers)
    of_pixel = Tally(*(tally / pixels).tolist())
    agreement = validate(training.latest, held_back, training.settings, sum_over_workers)
    record = EpochRecord(
        epoch=epoch + 1,
        loss=of_pixel.loss,
        iou=of_pixel.both / of_pixel.either if of_pixel.either else 1.0,
        foreground=of_pixel.predicted,
        seconds=round(time.monotonic() - started, 3),
        val_loss=None if agreement is None else agreement.loss,
        val_iou=None if agreement is None else agreement.iou,
    )
    training.add(record)
    return record


def _step(
    training: Training, batch: Batch, epoch: int, sum_over_workers: SumOverWorkers | None
) -> Tensor:
    """Make one step of the optimizer; returns what `add_gradient` does, over all passes."""
    tally = torch.zeros(len(Tally._fields), dtype=torch.float64, device=training.device)
    training.gradient.zero_()
    for start in range(0, len(batch.row_N), training.settings.images_per_pass):
        part = slice(start, start + training.settings.images_per_pass)
        with _chance(training, epoch, int(batch.row_N[start])):
            tally += add_gradient(training.model, batch, part, training.settings, epoch)
    if sum_over_workers:  # also of a batch that has no image of this worker: the others wait
        sum_over_workers(training.gradient)
    training.optimizer.step()
    if training.averaged is not None:
        training.averaged.update_parameters(training.model)
    return tally


def _chance(training: Training, epoch: int, row: int) -> AbstractContextManager[None]:
    """Settle what the network may draw in a pass; SegNet draws nothing."""
    if training.segnet.backbone is None:
        return nullcontext()
    return own_chance((training.settings.seed, epoch, row), training.device)
