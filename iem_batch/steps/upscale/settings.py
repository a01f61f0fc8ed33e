"""The settings of the step `upscale`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section
from iem_batch.steps.export.settings import CorpusMasks

UpscaleMethod = Literal["guided", "bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings(Section, name="upscale"):
    """How masks come to the size of their photos. Figures are those of benchmarks/native.py."""

    masks: CorpusMasks = "fuse"
    """Which masks: those of fuse, of predict or of refine."""

    method: UpscaleMethod = "guided"
    """`guided`: the outline follows the photo's edges, by the guided filter; `bilinear`: corners of
    pixels are rounded; `nearest`: pixels are repeated."""

    encoding: Literal["png", "rle"] = "png"
    """A 1-bit PNG, or COCO's compressed run lengths."""
