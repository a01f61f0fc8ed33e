import pytest
import torch
from torch import Tensor, nn

from iem_batch.segnet.batch import Batch
from iem_batch.segnet.gradient import Tally, add_gradient
from iem_batch.segnet.settings import TrainSettings
from tests.segnet.recipe import paper_train


class _Shift(nn.Module):
    """The logit of every pixel is one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.logit = nn.Parameter(torch.zeros(1))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.logit + 0 * image_B3HW[:, :1]


def batch(num_images: int) -> Batch:
    """Two images of 2 x 4 pixels, the first without foreground, the second half of it."""
    mask_NHW = torch.zeros(2, 2, 4, dtype=torch.bool)
    mask_NHW[1, :, :2] = True
    return Batch(
        image_NHW3=torch.zeros(2, 2, 4, 3, dtype=torch.uint8),
        mask_NHW=mask_NHW,
        row_N=torch.arange(2),
        num_images=num_images,
    )


def gradient(settings: TrainSettings) -> tuple[float, Tally]:
    model = _Shift()
    sums = add_gradient(model, batch(num_images=4), slice(0, 2), settings, epoch=0)
    assert model.logit.grad is not None
    return model.logit.grad.item(), Tally(*sums.tolist())


def test_gradient_of_the_paper_by_hand() -> None:
    """At logit 0 a pixel gives sigmoid - label = 1/2 or -1/2: 8 of the first image and 0 in all of
    the second, so 8/2, divided by the batch's 32 pixels. Catches a division by the pass's 16."""
    value, tally = gradient(paper_train(precision="fp32"))
    assert value == pytest.approx(4 / 32)
    assert tally == pytest.approx((16 * 0.6931472, 0, 4, 0))
