"""The settings of the step `evaluate`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, at_least
from iem_batch.mask_files.settings import Meaning, Reading, Values

PublishedSet = Literal["flowers102", "cub200", "lsun_car"]
"""The data sets of the paper's tables."""


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Reading, Section, name="evaluate"):
    """What ground truth is and how masks are compared with it."""

    truth: str | None = None
    """Ground truth: a folder of masks named like the images, COCO JSON, Parquet, or a data set."""

    truth_foreground: Values = None
    """Of masks that are pictures: the value, or a list of values, that is foreground, such as the
    number of a class; null takes white, and the classes of PASCAL VOC and of the usual trimaps."""

    truth_ignore: Values = None
    """Of masks that are pictures: the value, or a list of values, that counts nowhere; if it alone
    is given, all others but 0 are foreground. Null takes that of PASCAL VOC and of trimaps."""

    ignore: str | None = None
    """Folder of masks of the pixels that count nowhere."""

    images: Literal["all", "unlearned"] = "all"
    """`unlearned`: only those that SegNet has not learned, as their labels were held back
    (export.val_share), not selected, or are missing."""

    at: Literal["image", "engine"] = "image"
    """`image`: masks are brought to the truth's own size, and what the engine did not see is
    background; `engine`: the truth is brought to the engine's square as its image was."""

    baselines: bool = True
    """Whether baselines are in the same table, for which the images are read again."""

    quote: tuple[PublishedSet, ...] = ()
    """Show the published figures of these data sets beside one's own, marked as quoted."""

    resamples: Annotated[int, at_least(0)] = 2000
    """Bootstrap samples for the intervals of the means; 0 leaves them out."""

    seed: Annotated[int, at_least(0)] = 0
    """Of the bootstrap."""

    num_listed: Annotated[int, at_least(0)] = 10
    """How many of the best and of the worst images are listed for each method, by IoU."""

    @property
    def meaning(self) -> Meaning:
        """What the values of pictures are."""
        return Meaning(foreground=self.truth_foreground, void=self.truth_ignore)
