"""The settings of the step `upscale`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section
from iem_batch.steps.export.settings import CorpusMasks

UpscaleMethod = Literal["cut", "nearest"]


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings(Section, name="upscale"):
    """How masks come to the size of their photos. Measured in benchmarks/upscale.py."""

    masks: CorpusMasks = "fuse"
    """Which masks: those of fuse, of predict or of refine."""

    method: UpscaleMethod = "cut"
    """`cut`: a graph cut by the photo's colours and edges, near the mask's outline; `nearest`:
    pixels are repeated."""

    encoding: Literal["png", "rle"] = "png"
    """A PNG, or COCO's compressed run lengths."""
