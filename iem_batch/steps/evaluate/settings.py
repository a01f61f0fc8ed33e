"""The settings of the step `evaluate`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

TruthFormat = Literal["auto", "folder", "coco", "parquet", "cub200", "flowers102", "lsun_car"]


Split = Literal["train", "val", "test", "all"]


Baseline = Literal["grabcut", "otsu"]


PublishedSet = Literal["flowers102", "cub200", "lsun_car"]
"""The data sets of the paper's tables."""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What ground truth is and how masks are held against it."""

    at: Literal["engine", "image"] = "engine"
    """`engine`: the truth goes through the resizing and cropping of its image; `image`: masks are
    enlarged to the truth's own size, and what the engine did not see counts nowhere."""

    format: TruthFormat = "auto"
    """What --truth is; `auto` tells a folder of masks, COCO JSON and Parquet apart; the data sets
    are CUB-200-2011, Flowers-102 and LSUN Car (a COCO JSON of detections)."""

    split: Split = "test"
    """Which part of CUB-200-2011 or Flowers-102 counts, under the names of ReDO."""

    column: str = "mask"
    """Of Parquet files: the column with the masks."""

    category: str | None = None
    """Of a COCO file: the only category that counts; null takes all."""

    instances: Literal["all", "biggest"] = "all"
    """Of a COCO file: the foreground is all instances of an image, or the biggest."""

    min_score: float = 0.5
    """Of a COCO file of detections: those of a lower score do not count."""

    baselines: tuple[Baseline, ...] = ()
    """Further methods to compare with, for which the images are read again: `grabcut`, `otsu`."""

    grabcut_sides: tuple[int, ...] = (78, 112)
    """Sides in pixels of the centred rectangles GrabCut starts from."""

    quote: tuple[PublishedSet, ...] = ()
    """Show the published figures of these data sets beside one's own, marked as quoted."""

    resamples: int = 2000
    """Bootstrap samples for the intervals of the means; 0 leaves them out."""

    seed: int = 0
    """Of the bootstrap."""

    num_listed: int = 10
    """How many of the best and of the worst images are listed for each method, by IoU."""

    def __post_init__(self) -> None:
        self._require("at", [self.at], ("engine", "image"))
        self._require("format", [self.format], get_args(TruthFormat))
        self._require("split", [self.split], get_args(Split))
        self._require("instances", [self.instances], ("all", "biggest"))
        self._require("baselines", self.baselines, get_args(Baseline))
        self._require("quote", self.quote, get_args(PublishedSet))
        if self.min_score < 0:
            raise SettingsError(f"evaluate.min_score is {self.min_score}; it must be 0 or above")
        if min(self.grabcut_sides, default=1) < 1:
            raise SettingsError(
                f"evaluate.grabcut_sides is {list(self.grabcut_sides)}; sides must be above 0"
            )
        for name in ("resamples", "seed", "num_listed"):
            if getattr(self, name) < 0:
                raise SettingsError(
                    f"evaluate.{name} is {getattr(self, name)}; it must be 0 or above"
                )

    def _require(self, name: str, values: Iterable[str], allowed: tuple[str, ...]) -> None:
        for value in values:
            if value not in allowed:
                raise SettingsError(f"evaluate.{name} has {value!r}; it takes {', '.join(allowed)}")
