import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iem_batch.errors import StorageError
from iem_batch.segnet.prediction import has_fast_bf16, predict_probability, scale_pixels
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.training import EpochRecord, Training, begin_training, train_epoch
from iem_batch.segnet.weights import ModelRecord, save_weights
from tests.segnet.in_memory import batches
from tests.segnet.recipe import paper_train

CPU = torch.device("cpu")
SMALL = SegNetSettings(width=8, num_blocks=1)
Discs = tuple[Tensor, Tensor]


def begin(segnet: SegNetSettings = SMALL, **settings: object) -> Training:
    values = {"batch_size": 4, "images_per_pass": 3, "precision": "fp32"} | settings
    return begin_training(segnet, paper_train(**values), CPU)  # type: ignore[arg-type]


def weights_of(training: Training) -> bytes:
    return save_weights(training.model, ModelRecord(segnet=training.segnet))


def test_the_mean_of_the_weights_worked_by_hand(discs: Discs) -> None:
    """Three steps with decay 0.5: each step keeps min(0.5, (1 + n) / (10 + n)) of the mean, where n
    counts the steps before; the first weights of the network are in none of it."""
    training = begin(average_decay=0.5, batch_size=12, epochs=3)
    weights = []
    for _ in range(3):
        train_epoch(training, batches(training, *discs))
        weights.append(training.model.state_dict()["head.weight"].clone())
    second = weights[0] * 2 / 11 + weights[1] * 9 / 11
    third = second * 3 / 12 + weights[2] * 9 / 12
    mean = training.result.state_dict()["head.weight"]
    torch.testing.assert_close(mean, third)


def test_without_a_mean_the_last_weights_are_the_result() -> None:
    training = begin()
    assert training.result is training.model


def test_overfits_four_pictures(discs: Discs) -> None:
    """Catches a loss, target or gradient that does not belong to the image."""
    image_BHW3, mask_BHW = discs[0][:4], discs[1][:4]
    training = begin(SegNetSettings(width=16, num_blocks=1), learning_rate=1e-2, epochs=40)
    while not training.finished:
        record = train_epoch(training, batches(training, image_BHW3, mask_BHW))
    predicted_BHW = predict_probability(training.model, image_BHW3.numpy(), precision="fp32") > 0.5
    mask = mask_BHW.numpy()
    assert (predicted_BHW & mask).sum() / (predicted_BHW | mask).sum() > 0.97
    assert record.iou > 0.95
    assert record.loss < 0.1


def test_first_epoch_by_hand(discs: Discs) -> None:
    """Catches a loss that is not the mean over pixels: logit 0 costs ln 2, whatever the mask."""
    training = begin(batch_size=7)
    nn.init.zeros_(training.model.head.weight)
    nn.init.zeros_(training.model.head.bias)
    record = train_epoch(training, batches(training, *discs))
    assert record.loss == pytest.approx(np.log(2), rel=1e-6)
    assert (record.epoch, record.iou, record.foreground) == (1, 0, 0)
    assert record.collapsed_to == "background"


@pytest.mark.parametrize(
    ("foreground", "side"), [(0.0, "background"), (1.0, "foreground"), (0.002, None), (0.5, None)]
)
def test_collapse_is_a_share_of_one_side(foreground: float, side: str | None) -> None:
    record = EpochRecord(epoch=1, loss=0.0, iou=0.0, foreground=foreground, seconds=0.0)
    assert record.collapsed_to == side


class _Together:
    """Runs workers as threads that add up their tensors, as an all-reduce does."""

    def __init__(self, num_workers: int) -> None:
        self._barrier = threading.Barrier(num_workers)
        self._tensors: dict[int, Tensor] = {}

    def sum_for(self, rank: int) -> Callable[[Tensor], object]:
        def sum_over_workers(tensor: Tensor) -> None:
            self._tensors[rank] = tensor.clone()
            self._barrier.wait()
            tensor.copy_(sum(self._tensors.values()))
            self._barrier.wait()

        return sum_over_workers


def train_together(num_workers: int, discs: Discs, epochs: int) -> list[Training]:
    together = _Together(num_workers)
    workers = [begin(num_workers=num_workers) for _ in range(num_workers)]

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        for _ in range(epochs):
            worker = workers[rank]
            shares = batches(worker, *discs, rank, num_workers)
            train_epoch(worker, shares, sum_over_workers=together.sum_for(rank))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return workers


@pytest.mark.parametrize("num_workers", [2, 5])
def test_several_workers_equal_one(num_workers: int, discs: Discs) -> None:
    """Catches means of means where shares differ (4 and 3 images), and a worker with no image."""
    workers = train_together(num_workers, discs, epochs=3)
    alone = begin()
    for _ in range(3):
        train_epoch(alone, batches(alone, *discs))
    assert len({weights_of(worker) for worker in workers}) == 1
    for ours, theirs in zip(workers[0].history, alone.history, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        assert ours.iou == pytest.approx(theirs.iou, abs=1e-3)


def test_gradient_does_not_depend_on_the_passes(discs: Discs) -> None:
    """Catches a loss averaged over the images of a pass."""
    gradients = []
    for images_per_pass in (1, 3, 7):
        training = begin(batch_size=7, images_per_pass=images_per_pass)
        train_epoch(training, batches(training, *discs))
        gradients.append(training.gradient)
    scale = gradients[0].abs().max().item()
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("average_decay", [0.0, 0.9])
def test_resumed_training_equals_the_undisturbed(discs: Discs, average_decay: float) -> None:
    """Catches optimizer state, epoch count or order lost with the process."""
    undisturbed, interrupted = (begin(average_decay=average_decay) for _ in range(2))
    for _ in range(4):
        train_epoch(undisturbed, batches(undisturbed, *discs))
    for _ in range(2):
        train_epoch(interrupted, batches(interrupted, *discs))
    resumed = begin(average_decay=average_decay)
    resumed.resume(interrupted.checkpoint())
    for _ in range(2):
        train_epoch(resumed, batches(resumed, *discs))
    assert weights_of(resumed) == weights_of(undisturbed)
    assert save_weights(resumed.result, ModelRecord(segnet=SMALL)) == save_weights(
        undisturbed.result, ModelRecord(segnet=SMALL)
    )
    assert [record.loss for record in resumed.history] == [
        record.loss for record in undisturbed.history
    ]


@pytest.mark.parametrize(
    "data", [b"", b"none", b"PK\x03\x04" + bytes(90), b"[]", b"\x80\x02]q\x00."]
)
def test_what_is_no_checkpoint_is_refused(data: bytes) -> None:
    """Catches torch's advice to load what it does not trust, and its tracebacks."""
    with pytest.raises(StorageError, match="the training checkpoint is damaged"):
        begin().resume(data)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_part_of_a_checkpoint_is_refused(share: float) -> None:
    checkpoint = begin().checkpoint()
    with pytest.raises(StorageError, match="the training checkpoint is damaged"):
        begin().resume(checkpoint[: int(share * len(checkpoint))])


def test_checkpoint_of_another_network_is_refused() -> None:
    checkpoint = begin(SegNetSettings(width=16, num_blocks=1)).checkpoint()
    with pytest.raises(StorageError, match="of another network"):
        begin().resume(checkpoint)


def test_seed_decides_the_first_weights() -> None:
    """Catches weights from the global generator, which other code moves on."""
    torch.manual_seed(1)
    first = weights_of(begin(seed=5))
    torch.manual_seed(2)
    assert weights_of(begin(seed=5)) == first
    assert weights_of(begin(seed=6)) != first


class _Bright(nn.Module):
    """Certain that bright pixels are foreground."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.seen: list[Tensor] = []

    def forward(self, image_B3HW: Tensor) -> Tensor:
        self.seen.append(image_B3HW)
        return self.scale * image_B3HW.mean(1, keepdim=True)


def test_mirroring_takes_the_mask_along() -> None:
    """Catches an image mirrored without its mask, and all or none being mirrored."""
    image_BHW3 = torch.zeros(32, 8, 8, 3, dtype=torch.uint8)
    image_BHW3[:, :, :3] = 255
    mask_BHW = image_BHW3[..., 0] > 0
    training, model = begin(batch_size=32, horizontal_flips=True), _Bright()
    training.model = model  # type: ignore[assignment]
    record = train_epoch(training, batches(training, image_BHW3, mask_BHW))
    assert record.iou == 1
    assert record.loss < 1e-6
    left_B = torch.cat(model.seen)[:, 0, 0, 0] > 0
    assert 8 <= left_B.sum() <= 24


def test_prediction_is_the_sigmoid_of_the_logits(discs: Discs) -> None:
    """Catches images of a batch in another order, and a remnant left out."""
    model = begin().model
    image_BHW3 = discs[0].numpy()
    probability_BHW = predict_probability(model, image_BHW3, precision="fp32", images_per_pass=3)
    expected = model(scale_pixels(discs[0]))[:, 0].sigmoid().detach().numpy()
    np.testing.assert_allclose(probability_BHW, expected, atol=1e-6)
    assert probability_BHW.dtype == np.float32


def test_prediction_of_nothing() -> None:
    nothing = np.empty((0, 16, 16, 3), dtype=np.uint8)
    assert predict_probability(begin().model, nothing).shape == (0, 16, 16)


def test_pixels_are_scaled_as_for_iem() -> None:
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3)
    torch.testing.assert_close(scale_pixels(pixels).flatten(), torch.tensor([-1.0, 1.0, -0.6]))


@pytest.mark.skipif(not has_fast_bf16(CPU), reason="this CPU has no fast bf16")
def test_auto_is_bf16_where_it_is_fast(discs: Discs) -> None:
    def losses(precision: str) -> list[float]:
        training = begin(precision=precision)
        return [train_epoch(training, batches(training, *discs)).loss for _ in range(2)]

    assert losses("auto") == losses("bf16") != losses("fp32")
    assert losses("bf16") == pytest.approx(losses("fp32"), rel=0.05)
