"""Unsupervised segmentation of huge image collections by Inpainting Error Maximization."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iem_batch.iem.settings import IEMSettings
    from iem_batch.images.settings import DecodeSettings
    from iem_batch.model import Model, Prediction, load
    from iem_batch.notebook import Segmentation, segment
    from iem_batch.steps.fuse.settings import FuseSettings
    from iem_batch.steps.segment.settings import SegmentSettings

__all__ = [
    "DecodeSettings",
    "FuseSettings",
    "IEMSettings",
    "Model",
    "Prediction",
    "SegmentSettings",
    "Segmentation",
    "__version__",
    "load",
    "segment",
]

__version__ = "0.1.0"

_MODULES = {
    "DecodeSettings": "iem_batch.images.settings",
    "FuseSettings": "iem_batch.steps.fuse.settings",
    "IEMSettings": "iem_batch.iem.settings",
    "Model": "iem_batch.model",
    "Prediction": "iem_batch.model",
    "SegmentSettings": "iem_batch.steps.segment.settings",
    "Segmentation": "iem_batch.notebook",
    "load": "iem_batch.model",
    "segment": "iem_batch.notebook",
}


def __getattr__(name: str) -> Any:
    """Import torch or the engine when first asked for: `iem-batch --help` must not wait for it."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what completion may offer."""
    return sorted({*globals(), *__all__})
