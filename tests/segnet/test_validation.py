import math

import pytest
import torch
from torch import Tensor, nn

from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.validation import Labelled, validate

SETTINGS = TrainSettings(precision="fp32", images_per_pass=2)


class Red(nn.Module):
    """Logit 1 where red is full, -1 where there is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.weight * image_B3HW[:, :1]


def pair(red: list[list[int]], mask: list[list[int]]) -> Labelled:
    """Images of one row of four pixels, one for each list."""
    image_NHW3 = torch.zeros(len(red), 1, 4, 3, dtype=torch.uint8)
    image_NHW3[:, 0, :, 0] = 255 * torch.tensor(red)
    return image_NHW3, torch.tensor(mask).bool()[:, None]


PARTS = [
    pair([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]),
    pair([[1, 1, 1, 1]], [[1, 1, 1, 0]]),
]
"""Both: 1 + 1 + 0 + 3. Either: 2 + 1 + 1 + 4. Wrong: 1 + 0 + 1 + 1 of 16 pixels."""


def test_worked_by_hand() -> None:
    """A pixel that is right costs log(1 + 1/e), one that is wrong log(1 + e)."""
    agreement = validate(Red(), PARTS, SETTINGS)
    assert agreement is not None
    assert agreement.iou == 5 / 8
    right, wrong = math.log1p(math.exp(-1)), math.log1p(math.exp(1))
    assert agreement.loss == pytest.approx((13 * right + 3 * wrong) / 16)


def test_workers_add_up() -> None:
    """Each has the other's sums added; one of them has no label."""
    kept: list[Tensor] = []
    alone = validate(Red(), PARTS, SETTINGS)
    validate(Red(), PARTS[:1], SETTINGS, lambda sums: kept.append(sums.clone()))
    assert validate(Red(), PARTS[1:], SETTINGS, lambda sums: sums.add_(kept[0])) == alone
    validate(Red(), PARTS, SETTINGS, lambda sums: kept.append(sums.clone()))
    assert validate(Red(), [], SETTINGS, lambda sums: sums.add_(kept[1])) == alone


def test_nothing_held_back() -> None:
    assert validate(Red(), [], SETTINGS) is None


def test_all_empty() -> None:
    agreement = validate(Red(), [pair([[0, 0, 0, 0]], [[0, 0, 0, 0]])], SETTINGS)
    assert agreement is not None
    assert agreement.iou == 1
