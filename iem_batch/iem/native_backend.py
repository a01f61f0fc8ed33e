"""The compiled engine: float64 decisions, one image per thread, no Python per image.

The arithmetic is in native/NUMERICS.md. B = images, S = first masks, H, W = pixels.
"""

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings

try:
    from iem_batch.iem import _native
except ImportError as error:
    _native = None
    _IMPORT_ERROR = f"iem_batch.iem._native was not built or does not load ({error})"


def unavailable() -> str | None:
    """Say why the compiled engine cannot run here, or None if it can."""
    return _IMPORT_ERROR if _native is None else None


def segment(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run IEM from every first mask of every image; see `iem_batch.iem.backends.Segment`.

    The result does not depend on `num_threads`, on the other images or on their order.

    Args:
        image_BHW3: uint8 RGB, any strides.
        first_mask_BSHW: the masks each image starts from; a broadcast view is not copied.
        settings: what decides the masks.
        num_threads: images worked on at once; the interpreter lock is released.

    Raises:
        BackendUnavailableError: the extension was not built.
        SettingsError: an array has another shape or type than stated, `num_threads` is below 1,
            or `half_resolution` is on and a side is odd.
    """
    if _native is None:
        raise BackendUnavailableError(f"the backend native cannot run here: {_IMPORT_ERROR}")
    _check(image_BHW3, first_mask_BSHW, num_threads)
    settings.check_size(*image_BHW3.shape[1:3])
    if first_mask_BSHW.strides[2:] != (first_mask_BSHW.shape[3], 1):
        first_mask_BSHW = np.ascontiguousarray(first_mask_BSHW)
    mask_BSHW, foreground_BS, background_BS, iterations_BS, status_BS = _native.segment(
        np.ascontiguousarray(image_BHW3),
        first_mask_BSHW.view(np.uint8),
        sigma=settings.blur_sigma_px,
        kernel=settings.blur_kernel_px,
        diversity_weight=settings.diversity_weight,
        iterations=settings.iterations,
        smoothing=settings.smoothing,
        boundary_only=settings.boundary_only,
        half_resolution=settings.half_resolution,
        num_threads=num_threads,
    )
    return IEMResult(
        mask_BSHW=mask_BSHW.view(np.bool_),
        error_foreground_BS=foreground_BS,
        error_background_BS=background_BS,
        iterations_BS=iterations_BS,
        status_BS=status_BS,
    )


def _check(
    image_BHW3: NDArray[np.uint8], first_mask_BSHW: NDArray[np.bool_], num_threads: int
) -> None:
    if image_BHW3.dtype != np.uint8 or image_BHW3.ndim != 4 or image_BHW3.shape[3] != 3:
        raise SettingsError(
            f"images are {image_BHW3.dtype} {image_BHW3.shape}; they must be uint8 (B, H, W, 3)"
        )
    images, height, width, _ = image_BHW3.shape
    if first_mask_BSHW.dtype != np.bool_ or first_mask_BSHW.ndim != 4:
        raise SettingsError(
            f"first masks are {first_mask_BSHW.dtype} {first_mask_BSHW.shape}; "
            "they must be bool (B, S, H, W)"
        )
    if (first_mask_BSHW.shape[0], *first_mask_BSHW.shape[2:]) != (images, height, width):
        raise SettingsError(
            f"first masks are {first_mask_BSHW.shape}; "
            f"for these images they must be ({images}, S, {height}, {width})"
        )
    if height < 1 or width < 1:
        raise SettingsError(f"images are {height} x {width}; each side must be at least 1")
    if num_threads < 1:
        raise SettingsError(f"num_threads is {num_threads}; it must be at least 1")
