from typing import Any

import pytest

from iem_batch.config import PAPER
from iem_batch.errors import SettingsError
from iem_batch.segnet.order import AUTO_EPOCHS
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from tests.segnet.recipe import paper_train


def test_paper_trains_plainly() -> None:
    assert (PAPER["segnet.width"], PAPER["segnet.num_blocks"]) == (128, 3)
    settings = paper_train()
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (50, 128, 1e-3)
    assert (settings.horizontal_flips, settings.average_decay) == (False, 0)
    assert (settings.random_crops, settings.color_jitter) == (0, 0)


def test_default_training_can_be_resumed() -> None:
    """Catches checkpoints that are further apart than the training is long."""
    assert TrainSettings().checkpoint_every_epochs < AUTO_EPOCHS


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "train.epochs is 0; it must be auto or at least 1"),
        ({"batch_size": 0}, "train.batch_size is 0; it must be at least 1"),
        ({"num_workers": 0}, "train.num_workers is 0; it must be in 1..64"),
        ({"images_per_pass": -1}, "train.images_per_pass is -1; it must be at least 1"),
        ({"checkpoint_every_epochs": 0}, "train.checkpoint_every_epochs is 0"),
        ({"seed": -1}, "train.seed is -1; it must be 0 or above"),
        ({"learning_rate": 0.0}, "train.learning_rate is 0.0; it must be above 0 and finite"),
        ({"learning_rate": float("nan")}, "train.learning_rate is nan"),
        ({"learning_rate": float("inf")}, "train.learning_rate is inf"),
        ({"average_decay": 1.0}, "train.average_decay is 1.0; it must be at least 0 and below 1"),
        ({"average_decay": -0.1}, "train.average_decay is -0.1"),
        ({"random_crops": 1.0}, "train.random_crops is 1.0; it must be at least 0 and below 1"),
        ({"precision": "fp16"}, "train.precision is 'fp16'; it must be one of auto, fp32, bf16"),
    ],
)
def test_refuses_training_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainSettings(**values)


@pytest.mark.parametrize(
    "values", [{"width": 0}, {"width": 30}, {"num_blocks": -1}, {"backbone_args": {"depth": 2}}]
)
def test_refuses_networks_that_cannot_be(values: dict[str, Any]) -> None:
    """Catches a width whose quarter is no whole number of channels."""
    with pytest.raises(SettingsError, match="segnet."):
        SegNetSettings(**values)
