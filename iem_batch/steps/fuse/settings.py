"""The settings of the step `fuse`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section

FuseMethod = Literal["cut", "vote", "dataset", "image"]
"""How the masks of an image become one."""


@dataclass(frozen=True, kw_only=True)
class FuseSettings(Section, name="fuse"):
    """How the masks that an image's first masks led to become its one mask, without labels."""

    method: FuseMethod | Literal["auto"] = "auto"
    """`cut`: a graph cut by colours and edges, started from their vote and from where subjects of
    photos lie; `vote`: the majority of pixels; `dataset`: those of the first mask whose mean error
    over the run is highest, as in the paper; `image`: for each image that of highest error. auto is
    cut; of the one mask of `segment.engine` it is image, that mask as it is."""

    def method_for(self, *, first_masks: bool) -> FuseMethod:
        """Say what auto stands for, by whether the masks are what first masks led to."""
        if self.method == "auto":
            return "cut" if first_masks else "image"
        return self.method
