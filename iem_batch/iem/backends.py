"""The engines that run IEM: a table of functions with one signature.

`reference` is the oracle of every test, `torch` runs wherever torch does, `native` is compiled C++
and `cuda` a kernel for NVIDIA GPUs, whose results are those of `native` bit for bit. All of them
give the same masks; tests hold them to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.iem.colors import engine_colors
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings


class Segment(Protocol):
    """One engine.

    Args:
        image_BHW3: uint8 RGB; the engine maps v to v / 127.5 - 1. It knows nothing of `colors`.
        first_mask_BSHW: the masks each image starts from; a broadcast view will do.
        settings: what decides the masks.
        num_threads: how many images may be worked on at once.
    """

    def __call__(
        self,
        image_BHW3: NDArray[np.uint8],
        first_mask_BSHW: NDArray[np.bool_],
        settings: IEMSettings,
        *,
        num_threads: int,
    ) -> IEMResult:
        """Run IEM."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """An engine by name; its module is imported when it is first asked for."""

    load: Callable[[], Segment]
    """Import the engine."""

    unavailable: Callable[[], str | None]
    """Why the engine cannot run on this machine, or None if it can."""


def _load_reference() -> Segment:
    from iem_batch.iem.reference import segment

    return segment


def _load_torch() -> Segment:
    from iem_batch.iem.torch_backend import segment

    return segment


def _load_native() -> Segment:
    from iem_batch.iem.native_backend import segment

    return segment


def _load_cuda() -> Segment:
    from iem_batch.iem.cuda_backend import segment

    return segment


def _always_available() -> None:
    return None


def _native_unavailable() -> str | None:
    from iem_batch.iem.native_backend import unavailable

    return unavailable()


def _cuda_unavailable() -> str | None:
    from iem_batch.iem.cuda_backend import unavailable

    return unavailable()


BACKENDS = {
    "cuda": Backend(load=_load_cuda, unavailable=_cuda_unavailable),
    "native": Backend(load=_load_native, unavailable=_native_unavailable),
    "torch": Backend(load=_load_torch, unavailable=_always_available),
    "reference": Backend(load=_load_reference, unavailable=_always_available),
}


FAST = ("cuda", "native")
"""Those for more than a few images; the others are there to check them, and where nothing else is.
"""


def resolve(name: str) -> str:
    """Turn `auto` into the fastest backend of this machine, and check any other name.

    Raises:
        SettingsError: there is no backend of that name.
        BackendUnavailableError: it cannot run on this machine; the message says why.
    """
    if name == "auto":
        return next(key for key, backend in BACKENDS.items() if backend.unavailable() is None)
    if name not in BACKENDS:
        raise SettingsError(f"there is no backend {name!r}; use auto, {', '.join(BACKENDS)}")
    reason = BACKENDS[name].unavailable()
    if reason is not None:
        raise BackendUnavailableError(f"the backend {name} cannot run here: {reason}")
    return name


def not_taken(name: str, size_px: int, settings: IEMSettings) -> str | None:
    """Say why an engine hands squares of `size_px` pixels to `torch`, or None if it does not."""
    if name != "cuda":
        return None
    from iem_batch.iem.cuda_backend import not_taken

    return not_taken(size_px, size_px, settings)


def score_masks(
    engine: Segment,
    image_BHW3: NDArray[np.uint8],
    mask_BHW: NDArray[np.bool_],
    settings: IEMSettings,
    num_threads: int,
) -> IEMResult:
    """Compute the inpainting errors of one mask for each image, which stays as it is.

    Args:
        engine: as `load_backend` gives it.
        image_BHW3: uint8 RGB.
        mask_BHW: True is foreground.
        settings: of which blur and colours matter.
        num_threads: how many images may be worked on at once.

    Returns:
        Of S = 1 masks.
    """
    unchanged = replace(settings, iterations=0)
    return engine(image_BHW3, mask_BHW[:, None], unchanged, num_threads=num_threads)


def load_backend(name: str) -> Segment:
    """Import an engine by the name that `resolve` gave; it sees the colours of its settings.

    Raises:
        SettingsError: there is no backend of that name.
        BackendUnavailableError: it cannot run on this machine, say a worker without a compiler.
    """
    engine = BACKENDS[resolve(name)].load()

    def segment(
        image_BHW3: NDArray[np.uint8],
        first_mask_BSHW: NDArray[np.bool_],
        settings: IEMSettings,
        *,
        num_threads: int,
    ) -> IEMResult:
        colors_BHW3 = engine_colors(image_BHW3, settings)
        return engine(colors_BHW3, first_mask_BSHW, settings, num_threads=num_threads)

    return segment
