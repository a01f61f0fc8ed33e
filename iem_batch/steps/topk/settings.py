"""The settings of the step `topk`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, at_least, one_of, within
from iem_batch.steps.topk.scores import SCORES

RoundMasks = Literal["predict", "refine"]
"""What a round gives the next one to select from."""


GROUP_BY_FOLDER = "folder"
"""The group of an image that its id gives."""


@dataclass(frozen=True, kw_only=True)
class TopkSettings(Section, name="topk"):
    """What decides which masks become the labels SegNet learns from.

    The paper has k and one round, nothing else; all that follows `masks` is off by default.
    """

    k: Annotated[int, at_least(1)] = 8000
    """How many images are taken, those of highest score; all where there are fewer, so that small
    collections lose no label."""

    by: Annotated[str, one_of(SCORES)] = "error_agreement"
    """What images are ranked by. `error`: the inpainting error E, as in the paper;
    `error_agreement`: E times the mean IoU of the masks that the image's first masks led to, or E
    where there is one."""

    rounds: Annotated[int, at_least(1)] = 1
    """How often images are selected and SegNet is trained on them: the first round selects among
    the masks of fuse, each later one among SegNet's of the round before, by their errors."""

    masks: RoundMasks = "predict"
    """Masks of the round before that a later round selects among and takes its labels from;
    `refine`: SegNet's made better, see `refine`."""

    fraction: Annotated[float, within(0, 1)] | None = None
    """Take this share of all images that have a mask, instead of k."""

    min_area: Annotated[float, within(0, 1)] = 0.0
    """Leave out masks that cover a smaller share of the image."""

    max_area: Annotated[float, within(0, 1)] = 1.0
    """Leave out masks that cover a larger share of the image."""

    max_frame: Annotated[float, within(0, 1)] = 1.0
    """Leave out masks that cover a larger share of the image's outermost pixels."""

    per_group: str | None = None
    """Take equally many images of each group: the word folder, for the folder of an image in its
    source, or a column of the table `groups`. What a small group lacks goes to the others."""

    groups: str | None = None
    """Parquet or CSV file with the column image_id and that of `per_group`; others are left out."""

    exclude: str | None = None
    """Leave out the images of this file: a path or URL of plain text, an image_id a line, as the
    report writes it."""

    only: str | None = None
    """Select among the images of this file alone; as `exclude`, which goes first."""

    diversity_bits: Annotated[int, within(0, 63)] | None = None
    """Leave out an image whose perceptual hash, of 64 bits, differs in at most so many bits from
    that of an image of higher error that is taken. Needs the extra diversity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        below = f"at most topk.max_area, which is {self.max_area}"
        self.require("min_area", self.min_area <= self.max_area, below)
        needs_table = self.per_group not in (None, GROUP_BY_FOLDER)
        self.require(
            "per_group",
            needs_table == (self.groups is not None),
            f"null or {GROUP_BY_FOLDER}, or with topk.groups a column of that table",
        )
