"""The settings of the step `fuse`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section

FuseMethod = Literal["cut", "vote", "dataset", "image"]
"""How the masks of an image become one."""


@dataclass(frozen=True, kw_only=True)
class FuseSettings(Section, name="fuse"):
    """How the masks that an image's first masks led to become its one mask, without labels."""

    method: FuseMethod = "cut"
    """`cut`: a graph cut by colours and edges, started from their vote and from where subjects of
    photos lie; `vote`: the majority of pixels; `dataset`: those of the first mask whose mean error
    over the run is highest, as in the paper; `image`: for each image that of highest error."""
