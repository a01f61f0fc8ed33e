"""Unsupervised segmentation of huge image collections by Inpainting Error Maximization."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from iem_batch.notebook import Segmentation, segment

__all__ = ["Segmentation", "__version__", "segment"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the engine when it is first asked for: `iem-batch --help` must not wait for it."""
    if name in ("Segmentation", "segment"):
        from iem_batch import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
