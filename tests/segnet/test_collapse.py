import pytest
import torch
from torch import Tensor, nn

from iem_batch.segnet import collapse
from iem_batch.segnet.collapse import Collapse, Watch
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.training import begin_training, train_epoch
from tests.segnet.in_memory import batches
from tests.segnet.recipe import paper_train

PIXELS = 1000


def watched(foreground: list[int], pixels: int = PIXELS) -> list[Collapse]:
    """Tell what is told of steps with so many foreground pixels of 1,000."""
    told: list[Collapse] = []
    watch = Watch(2, told.append)
    for count in foreground:
        watch.add(torch.tensor(float(count)), pixels)
    return told


def test_a_collapse_is_told_after_a_hundred_steps() -> None:
    assert watched([0] * 99) == []
    assert watched([0] * 100) == [Collapse(epoch=2, step=100, side="background")]
    assert watched([PIXELS] * 100) == [Collapse(epoch=2, step=100, side="foreground")]


def test_only_the_steps_since_the_last_look_count() -> None:
    """Catches a network that worked at first, so that the mean over the epoch hides its collapse;
    and the same collapse told every hundred steps."""
    assert watched([500] * 100 + [0] * 300) == [Collapse(epoch=2, step=200, side="background")]


def test_a_share_just_large_enough_is_no_collapse() -> None:
    assert watched([1] * 100) == []
    assert watched([1] * 99 + [0]) == [Collapse(epoch=2, step=100, side="background")]


def test_a_worker_without_images_tells_nothing() -> None:
    assert watched([0] * 100, pixels=0) == []


def test_training_tells_of_a_collapse_within_its_epoch(
    discs: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps an epoch, looked at every two: the first look is before the record."""
    monkeypatch.setattr(collapse, "WATCHED_STEPS", 2)
    settings = paper_train(batch_size=2, learning_rate=1e-9, precision="fp32")
    training = begin_training(SegNetSettings(width=8, num_blocks=1), settings, torch.device("cpu"))
    nn.init.constant_(training.model.head.bias, -100)
    told: list[Collapse] = []
    record = train_epoch(training, batches(training, *discs), on_collapse=told.append)
    assert told == [Collapse(epoch=1, step=2, side="background")]
    assert record.collapsed_to == "background"
