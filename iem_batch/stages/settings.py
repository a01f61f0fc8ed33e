"""The settings of the steps between segment and export."""

from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

InitChoice = Literal["dataset", "image"]
"""How one of several first masks is chosen without labels: one for the run, or one per image."""


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """What decides which masks become the labels SegNet learns from."""

    k: int = 8000
    """How many images are taken, those of highest inpainting error in the whole run."""

    init_choice: InitChoice = "dataset"
    """`dataset`: the first mask whose mean error over the run is highest, as in the paper;
    `image`: for each image the first mask that gives the highest error."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SettingsError(f"select.k is {self.k}; it must be at least 1")
        if self.init_choice not in get_args(InitChoice):
            raise SettingsError(
                f"select.init_choice is {self.init_choice!r}; "
                f"it must be one of {', '.join(get_args(InitChoice))}"
            )
