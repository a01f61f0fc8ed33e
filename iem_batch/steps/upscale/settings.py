"""The settings of the step `upscale`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import require_choices
from iem_batch.errors import SettingsError
from iem_batch.steps.export.settings import CorpusMasks

UpscaleMethod = Literal["guided", "bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings:
    """How masks come to the size of their photos. Figures are those of benchmarks/native.py."""

    masks: CorpusMasks = "masks"
    """Which masks: those of segment, of predict (predictions) or of refine (refined)."""

    method: UpscaleMethod = "guided"
    """`guided`: the outline follows the photo's edges, by the guided filter; `bilinear`: corners of
    pixels are rounded; `nearest`: pixels are repeated."""

    size_px: int | None = None
    """Run the engine first at this size, say 256 or 512, started from the small mask; null does
    not."""

    iterations: int = 8
    """Iterations at that size; with many the engine finds another mask, no sharper outline."""

    margin: Literal["unknown", "segment"] = "unknown"
    """What the crop has cut off: `unknown`, or `segment`ed by the engine on the whole photo,
    started from the mask of its centre."""

    encoding: Literal["png", "rle"] = "png"
    """A 1-bit PNG, or COCO's compressed run lengths."""

    def __post_init__(self) -> None:
        kinds = {
            "masks": CorpusMasks,
            "method": UpscaleMethod,
            "margin": Literal["unknown", "segment"],
            "encoding": Literal["png", "rle"],
        }
        require_choices("upscale", self, kinds)
        if self.size_px is not None and not 1 <= self.size_px <= 4096:
            raise SettingsError(f"upscale.size_px is {self.size_px}; it must be in 1..4096 or null")
        if self.iterations < 0:
            raise SettingsError(f"upscale.iterations is {self.iterations}; it must be 0 or above")
