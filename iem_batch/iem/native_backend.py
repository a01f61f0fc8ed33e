"""The compiled engine: float64 decisions, one image per thread, no Python per image.

Its arithmetic is in native/NUMERICS.md. B = images, S = first masks, H, W = pixels.
"""

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError
from iem_batch.iem.inputs import check_inputs
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import make_tables

try:
    import iem_batch.iem._native as _native
except ImportError as error:
    _REASON: str | None = f"its extension was not built at installation or does not load ({error})"
else:
    _REASON = None

MAX_PIXELS = 1 << 24
"""Pixels of the largest image; a thread takes about 150 bytes for each."""

MAX_SIDE_PX = 1 << 13
"""The longest side of an image."""

MAX_COUNT = (1 << 31) - 1
"""The most iterations and taps."""


def unavailable() -> str | None:
    """Say why the compiled engine cannot run here, or None if it can."""
    return _REASON


def instruction_sets() -> list[str]:
    """Name the instruction sets this machine can run, fastest first; none if unavailable."""
    return _native.instruction_sets() if _REASON is None else []


def segment(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run IEM from every first mask of every image; see `iem_batch.iem.backends.Segment`.

    The result does not depend on `num_threads`, on the other images or on their order. The
    interpreter lock is released meanwhile.

    Args:
        image_BHW3: uint8 RGB, any strides.
        first_mask_BSHW: the masks each image starts from; a broadcast over B and S is not copied.
        settings: what decides the masks.
        num_threads: images worked on at once.

    Raises:
        BackendUnavailableError: the extension was not built, or something is above the limits
            of this module.
        SettingsError: as `iem_batch.iem.inputs.check_inputs` says.
    """
    return segment_with("", image_BHW3, first_mask_BSHW, settings, num_threads=num_threads)


def segment_with(
    instruction_set: str,
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run `segment` with one of `instruction_sets()`; "" is the fastest.

    The masks are the same with all of them. Raises ValueError if there is none of that name.
    """
    if _REASON is not None:
        raise BackendUnavailableError(f"the backend native cannot run here: {_REASON}")
    check_inputs(image_BHW3, first_mask_BSHW, num_threads)
    _check_limits(image_BHW3, settings)
    if first_mask_BSHW.strides[2:] != (image_BHW3.shape[2], 1):
        first_mask_BSHW = np.ascontiguousarray(first_mask_BSHW)
    mask_BSHW, foreground_BS, background_BS, iterations_BS, status_BS = _native.segment(
        np.ascontiguousarray(image_BHW3),
        first_mask_BSHW.view(np.uint8),
        tables=make_tables(*image_BHW3.shape[1:3], settings),
        diversity_weight=settings.diversity_weight,
        iterations=settings.iterations,
        smoothing=settings.smoothing,
        boundary_only=settings.boundary_only,
        num_threads=min(num_threads, max(1, len(image_BHW3))),
        instruction_set=instruction_set,
    )
    return IEMResult(
        mask_BSHW=mask_BSHW.view(np.bool_),
        error_foreground_BS=foreground_BS,
        error_background_BS=background_BS,
        iterations_BS=iterations_BS,
        status_BS=status_BS,
    )


def _check_limits(image_BHW3: NDArray[np.uint8], settings: IEMSettings) -> None:
    height, width = image_BHW3.shape[1:3]
    if height * width > MAX_PIXELS or max(height, width) > MAX_SIDE_PX:
        raise BackendUnavailableError(
            f"the backend native cannot do images of {height} x {width}; it takes up to "
            f"{MAX_PIXELS} pixels, {MAX_SIDE_PX} on a side. Use smaller images or another backend"
        )
    if max(settings.iterations, settings.kernel_px) > MAX_COUNT:
        raise BackendUnavailableError(
            f"the backend native cannot do {settings.iterations} iterations with "
            f"{settings.kernel_px} taps; it takes up to {MAX_COUNT} of each"
        )
