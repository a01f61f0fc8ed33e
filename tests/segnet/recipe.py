"""Training as in the paper, whatever the defaults are: nothing is done to images and labels."""

from typing import Any

from iem_batch.config import paper_settings
from iem_batch.segnet.settings import TrainSettings


def paper_train(**values: Any) -> TrainSettings:
    """Give the paper's settings of training with some changes."""
    paper = {
        name.removeprefix("train."): value for name, value in paper_settings({"train"}).items()
    }
    return TrainSettings(**paper | values)
