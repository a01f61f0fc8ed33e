"""The settings of the steps that are not IEM's, the decoder's or the network's own."""

from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

InitChoice = Literal["dataset", "image"]
"""How one of several first masks is chosen without labels: one for the run, or one per image."""


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which engine runs IEM, and what it starts from."""

    init_sides: tuple[int, ...] = (78,)
    """Sides in pixels of the centred squares each image starts from; the paper has 44, 78, 92."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    def __post_init__(self) -> None:
        sides = self.init_sides
        if not sides or len(set(sides)) < len(sides) or min(sides) < 1:
            raise SettingsError(
                f"segment.init_sides is {list(sides)}; give one or more different sides above 0"
            )


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """What decides which masks become the labels SegNet learns from."""

    k: int = 8000
    """How many images are taken, those of highest inpainting error; all where there are fewer."""

    init_choice: InitChoice = "dataset"
    """`dataset`: the first mask whose mean error over the run is highest, as in the paper;
    `image`: for each image the first mask that gives the highest error."""

    def __post_init__(self) -> None:
        if self.k < 0:
            raise SettingsError(f"select.k is {self.k}; it must be 0 or above")
        if self.init_choice not in get_args(InitChoice):
            raise SettingsError(
                f"select.init_choice is {self.init_choice!r}; "
                f"it must be one of {', '.join(get_args(InitChoice))}"
            )


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the corpus is cut into files."""

    pairs_per_file: int = 1024
    """(image, mask) pairs in one Parquet file of the corpus."""

    def __post_init__(self) -> None:
        if self.pairs_per_file < 1:
            raise SettingsError(
                f"export.pairs_per_file is {self.pairs_per_file}; it must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """How SegNet's probabilities become masks."""

    threshold: float | Literal["auto"] = 0.5
    """Probability above which a pixel is foreground; auto takes the one whose masks have the
    highest mean inpainting error, as the paper chooses among first masks, without labels."""

    def __post_init__(self) -> None:
        if self.threshold != "auto" and not 0 < float(self.threshold) < 1:
            raise SettingsError(
                f"predict.threshold is {self.threshold!r}; use auto or a number between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: int = 2000
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise SettingsError(f"demo.num_images is {self.num_images}; it must be at least 1")


DEMO_DEFAULTS = {"select.k": 1000, "train.epochs": 3, "train.batch_size": 16}
"""What the demo sets differently, to take minutes: 189 optimizer steps instead of thousands."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What the page about a run shows."""

    num_samples: int = 12
    """Images in each gallery."""

    seed: int = 0
    """Decides which images are drawn at random."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= 50:
            raise SettingsError(f"report.num_samples is {self.num_samples}; it must be in 1..50")
        if self.seed < 0:
            raise SettingsError(f"report.seed is {self.seed}; it must be 0 or above")
