"""How masks that lie in files are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, at_least, within

MaskFormat = Literal["auto", "folder", "coco", "parquet", "tar", "cub200", "flowers102", "lsun_car"]

Split = Literal["train", "val", "test", "all"]

Value = Annotated[int, within(0, 65535)]

Values = Value | tuple[Value, ...] | None
"""Of pixels of a mask: one, or several; None leaves it to the mask."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """Which values of pictures are foreground and which void; None leaves it to the picture.

    With void alone, all other values but 0 are foreground.
    """

    foreground: Values = None
    void: Values = None
    flags: tuple[str, str] = ("--truth-foreground", "--truth-ignore")
    """That set them, for messages."""

    @property
    def is_given(self) -> bool:
        """Whether there is any."""
        return self.foreground is not None or self.void is not None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What sections about masks in files share."""

    format: MaskFormat = "auto"
    """What the masks lie in; `auto` tells a folder of masks, COCO JSON, Parquet and tar apart; the
    data sets are CUB-200-2011, Flowers-102 and LSUN Car (a COCO JSON of detections)."""

    split: Split = "test"
    """Which part of CUB-200-2011 or Flowers-102 counts, under the names of ReDO."""

    column: str = "mask"
    """Of Parquet files: the column with the masks."""

    category: str | None = None
    """Of a COCO file: the only category that counts; null takes all."""

    instances: Literal["all", "biggest"] = "all"
    """Of a COCO file: the foreground is all instances of an image, or the biggest."""

    min_score: Annotated[float, at_least(0)] = 0.5
    """Of a COCO file of detections: those of a lower score do not count."""

    @property
    def meaning(self) -> Meaning:
        """What the values of pictures are."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class MaskFileSettings(Reading, Section, name="mask_files"):
    """How the masks that `segment.masks` names are read."""

    foreground: Values = None
    """Of masks that are pictures: the value, or a list of values, that is foreground; null as for
    evaluate.truth_foreground."""

    ignore: Values = None
    """Of masks that are pictures: the value, or a list of values, of pixels that are neither; null
    as for evaluate.truth_ignore."""

    @property
    def meaning(self) -> Meaning:
        """What the values of pictures are."""
        flags = ("--mask_files.foreground", "--mask_files.ignore")
        return Meaning(foreground=self.foreground, void=self.ignore, flags=flags)
