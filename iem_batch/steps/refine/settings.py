"""The settings of the step `refine`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section


@dataclass(frozen=True, kw_only=True)
class RefineSettings(Section, name="refine"):
    """How SegNet's masks are made better, image by image."""

    method: Literal["cut", "iem"] = "cut"
    """`cut`: a graph cut by the colours and edges of the photo, from SegNet's probabilities and the
    mask of fuse; `iem`: IEM started from SegNet's masks, as in the paper."""
