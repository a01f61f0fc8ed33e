import pytest
import torch
from torch import Tensor, nn

from iem_batch.segnet.batch import Batch
from iem_batch.segnet.gradient import Tally, add_gradient
from iem_batch.segnet.settings import TrainSettings
from tests.segnet.recipe import paper_train

FP32 = {"precision": "fp32"}


class _Shift(nn.Module):
    """The logit of every pixel is one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(1))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.logit + 0 * image_B3HW[:, :1]


def batch(error: list[float], num_images: int) -> Batch:
    """Two images of 2 x 4 pixels, the first without foreground, the second half of it."""
    mask_NHW = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask_NHW[1, :, :2] = True
    return Batch(
        image_NHW3=torch.zeros(2, 2, 4, 3, dtype=torch.uint8),
        mask_NHW=mask_NHW,
        error_N=torch.tensor(error),
        row_N=torch.arange(2),
        num_images=num_images,
    )


def gradient(settings: TrainSettings, error: list[float]) -> tuple[float, Tally]:
    model = _Shift()
    sums = add_gradient(model, batch(error, num_images=4), slice(0, 2), settings, epoch=0)
    assert model.logit.grad is not None
    return model.logit.grad.item(), Tally(*sums.tolist())


def test_gradient_of_the_paper_by_hand() -> None:
    """At logit 0 a pixel gives sigmoid - label = 1/2 or -1/2: 8 of the first image and 0 in all of
    the second, so 8/2, divided by the batch's 32 pixels. Catches a division by the pass's 16."""
    value, tally = gradient(paper_train(**FP32), [1.0, 3.0])
    assert value == pytest.approx(4 / 32)
    assert tally == pytest.approx((16 * 0.6931472, 0, 4, 0))


def test_an_image_counts_as_its_error() -> None:
    """Error 3 squared makes the first image count nine times; the loss that is told does not."""
    value, tally = gradient(paper_train(error_weighting=2, **FP32), [3.0, 1.0])
    assert value == pytest.approx(9 * 4 / 32)
    assert tally.loss == pytest.approx(16 * 0.6931472)


def test_soft_labels_by_hand() -> None:
    """Columns 1, 1, 0, 0 become 1, 2/3, 1/3, 0, and those above one half still count as given."""
    value, tally = gradient(paper_train(boundary_smoothing=1, **FP32), [1.0, 1.0])
    assert value == pytest.approx(4 / 32)
    assert tally.either == 4
