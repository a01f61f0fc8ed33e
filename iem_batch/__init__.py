"""Unsupervised segmentation of huge image collections by Inpainting Error Maximization."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iem_batch.model import Model, Prediction, load
    from iem_batch.notebook import Segmentation, segment

__all__ = ["Model", "Prediction", "Segmentation", "__version__", "load", "segment"]

__version__ = "0.1.0"

_MODULES = {
    **dict.fromkeys(("Model", "Prediction", "load"), "iem_batch.model"),
    **dict.fromkeys(("Segmentation", "segment"), "iem_batch.notebook"),
}


def __getattr__(name: str) -> Any:
    """Import torch or the engine when first asked for: `iem-batch --help` must not wait for it."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
