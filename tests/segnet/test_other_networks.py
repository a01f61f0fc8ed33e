"""Training of networks that `segnet.backbone` names."""

import threading
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from iem_batch.errors import StorageError
from iem_batch.segnet.prediction import predict_probability
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import Training, begin_training, train_epoch
from iem_batch.segnet.weights import ModelRecord, save_weights
from tests.segnet.in_memory import batches

HERE = "tests.segnet.networks"
DRAWING = SegNetSettings(backbone=f"{HERE}:Normed", backbone_args={"dropout": 0.5})
Discs = tuple[Tensor, Tensor]


def begin(segnet: SegNetSettings = DRAWING, **settings: Any) -> Training:
    values = {"batch_size": 4, "images_per_pass": 3, "precision": "fp32"} | settings
    return begin_training(segnet, TrainSettings(**values), torch.device("cpu"))


def result_of(training: Training) -> bytes:
    return save_weights(training.result, ModelRecord(segnet=training.segnet))


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_resumed_training_equals_the_undisturbed(discs: Discs, average_decay: float) -> None:
    """Catches statistics left out of the checkpoint, and dropout that draws on where the process
    before had stopped."""
    undisturbed, interrupted = (begin(average_decay=average_decay) for _ in range(2))
    for _ in range(4):
        train_epoch(undisturbed, batches(undisturbed, *discs))
    for _ in range(2):
        train_epoch(interrupted, batches(interrupted, *discs))
    torch.manual_seed(12345)
    resumed = begin(average_decay=average_decay)
    resumed.resume(interrupted.checkpoint())
    for _ in range(2):
        train_epoch(resumed, batches(resumed, *discs))
    assert result_of(resumed) == result_of(undisturbed)


def test_workers_end_with_one_network(discs: Discs) -> None:
    """Catches statistics that differ between workers, of which only the first one's are kept."""
    barrier = threading.Barrier(2)
    shared: dict[int, Tensor] = {}
    workers = [begin(num_workers=2, average_decay=0.5) for _ in range(2)]

    def work(rank: int) -> None:
        def sum_over_workers(tensor: Tensor) -> None:
            shared[rank] = tensor.clone()
            barrier.wait()
            tensor.copy_(shared[0] + shared[1])
            barrier.wait()

        shares = batches(workers[rank], *discs, rank, 2)
        train_epoch(workers[rank], shares, sum_over_workers=sum_over_workers)

    # Without dropout: threads of one process share the generator that it draws from.
    for worker in workers:
        worker.model.dropout.p = 0.0
    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = (worker.result.norm for worker in workers)
    assert torch.equal(first.running_mean, second.running_mean)
    assert torch.equal(workers[0].model.norm.running_var, workers[1].model.norm.running_var)
    assert torch.equal(workers[0].model.first.weight, workers[1].model.first.weight)


def test_what_is_frozen_stays(discs: Discs) -> None:
    training = begin(SegNetSettings(backbone=f"{HERE}:Frozen"), average_decay=0.5)
    body, head = (training.model.state_dict()[name].clone() for name in ("body.bias", "head.bias"))
    train_epoch(training, batches(training, *discs))
    for network in (training.model, training.result):
        assert torch.equal(network.state_dict()["body.bias"], body)
        assert not torch.equal(network.state_dict()["head.bias"], head)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_losses_are_finite_and_fall_in_both_formats(discs: Discs, precision: str) -> None:
    training = begin(
        replace(DRAWING, backbone_args={}), precision=precision, epochs=5, learning_rate=0.02
    )
    losses = [train_epoch(training, batches(training, *discs)).loss for _ in range(5)]
    assert all(0 < loss < 2 for loss in losses)
    assert losses[-1] < losses[0]
    probability_BHW = predict_probability(
        training.result, discs[0].numpy(), precision=training.settings.precision
    )
    assert 0 <= probability_BHW.min() < probability_BHW.max() <= 1


def test_a_checkpoint_of_another_network_is_refused_with_the_difference() -> None:
    checkpoint = begin().checkpoint()
    other = replace(DRAWING, backbone=f"{HERE}:Frozen", backbone_args={})
    with pytest.raises(StorageError, match=f"segnet.backbone is '{HERE}:Normed' there and"):
        begin(other).resume(checkpoint)
