"""The engine for NVIDIA GPUs: one kernel, all iterations; its results are bit for bit `native`'s.

The kernel and what it guarantees are in cuda/NOTES.md. B = images, S = first masks, H, W = pixels.
"""

import functools
import sys

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, DeviceLostError
from iem_batch.iem import self_check
from iem_batch.iem.cuda import driver
from iem_batch.iem.cuda.compiler import compile_kernel
from iem_batch.iem.cuda.job import OUTPUTS, Batch, run_batch
from iem_batch.iem.cuda.layout import Layout, plan_layout
from iem_batch.iem.inputs import check_inputs
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import Tables, make_tables

MAX_PIXELS = 1 << 18
"""Pixels of the largest image that the kernel takes; a block has about 130 bytes for each."""

MAX_ITERATIONS = 4096
"""The most iterations: a block keeps the masks of all of them."""

MAX_RADIUS_PX = 64
"""The farthest reach of the blur: in float64 a pixel's whole window is done at once."""

BATCH_BYTES = 1 << 30
"""Images and masks of one launch take at most this much of the card's memory."""


@functools.cache
def unavailable() -> str | None:
    """Say why there is no card, or why the kernel does not run right on it; None if it does.

    What it gives for a few pictures is compared with another engine's, once in a process: a kernel
    that this card has never run is not taken on trust. A difference is printed, in one line.
    """
    reason = driver.unavailable()
    if reason is not None:
        return reason
    try:
        reason = self_check.difference(_run)
    except (BackendUnavailableError, DeviceLostError) as error:
        return str(error)
    if reason is not None:
        reason = f"{reason} ({driver.open_device().name})"
        print(f"the engine cuda is not used: {reason}", file=sys.stderr, flush=True)
    return reason


def not_taken(height: int, width: int, settings: IEMSettings) -> str | None:
    """Say why the kernel does not take images of a size, or None if it does."""
    radius = min(settings.kernel_px, max(height, width))
    if height * width > MAX_PIXELS:
        return f"images of {height} x {width} have more than {MAX_PIXELS} pixels"
    if settings.iterations > MAX_ITERATIONS:
        return f"{settings.iterations} iterations are more than {MAX_ITERATIONS}"
    if radius > MAX_RADIUS_PX:
        return f"{settings.kernel_px} taps reach farther than {MAX_RADIUS_PX} pixels"
    return None


@functools.lru_cache(maxsize=32)
def prepare(
    height: int, width: int, settings: IEMSettings, shared_limit: int
) -> tuple[Layout, Tables]:
    """Plan the kernel and make its tables for images of one size.

    Args:
        height: rows.
        width: columns.
        settings: what decides the masks.
        shared_limit: bytes of shared memory that a block may have.
    """
    tables = make_tables(height, width, settings)
    layout = plan_layout(
        height, width, tables.radius_y, tables.radius_x, settings, shared_limit=shared_limit
    )
    return layout, tables


def segment(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run IEM from every first mask of every image; see `iem_batch.iem.backends.Segment`.

    The result does not depend on the card, on the other images or on their order. What the kernel
    does not take (see `not_taken`) the backend `torch` does. If the card is out of memory, the
    batch is halved, and halved again.

    Args:
        image_BHW3: uint8 RGB, any strides.
        first_mask_BSHW: the masks each image starts from; a broadcast over B is sent once.
        settings: what decides the masks.
        num_threads: of the CPU; used by `torch` only.

    Raises:
        BackendUnavailableError: there is no card, or not even one image fits into its memory.
        DeviceLostError: the card stopped working; another worker can do the same again.
        SettingsError: as `iem_batch.iem.inputs.check_inputs` says.
    """
    check_inputs(image_BHW3, first_mask_BSHW, num_threads)
    reason = unavailable()
    if reason is not None:
        raise BackendUnavailableError(f"the backend cuda cannot run here: {reason}")
    height, width = image_BHW3.shape[1:3]
    if not_taken(height, width, settings) is not None:
        from iem_batch.iem.torch_backend import segment as segment_by_torch

        return segment_by_torch(image_BHW3, first_mask_BSHW, settings, num_threads=num_threads)
    return _run(image_BHW3, first_mask_BSHW, settings)


def _run(
    image_BHW3: NDArray[np.uint8], first_mask_BSHW: NDArray[np.bool_], settings: IEMSettings
) -> IEMResult:
    shape_BS = first_mask_BSHW.shape[:2]
    result = IEMResult(
        mask_BSHW=np.empty(first_mask_BSHW.shape, np.bool_),
        error_foreground_BS=np.empty(shape_BS),
        error_background_BS=np.empty(shape_BS),
        iterations_BS=np.empty(shape_BS, np.int32),
        status_BS=np.empty(shape_BS, np.uint8),
    )
    if first_mask_BSHW.size:
        _run_batches(image_BHW3, first_mask_BSHW, settings, result)
    return result


def _run_batches(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    result: IEMResult,
) -> None:
    """Fill in the result, with batches as large as the card's memory allows."""
    num_images, num_masks, height, width = first_mask_BSHW.shape
    device = driver.open_device()
    layout, tables = prepare(height, width, settings, device.shared_bytes)
    code = compile_kernel(layout, device.architecture)
    size = max(1, min(num_images, BATCH_BYTES // ((3 + 2 * num_masks) * height * width)))
    start = 0
    with driver.device_context():
        kernel = driver.load_kernel(code, layout.shared_bytes)
        while start < num_images:
            part = slice(start, start + size)
            batch = Batch(
                image_BHW3=image_BHW3[part],
                first_mask_BSHW=first_mask_BSHW[part],
                settings=settings,
                outputs=[getattr(result, name)[part] for name in OUTPUTS],
            )
            try:
                run_batch(kernel, batch, layout, tables, device.multiprocessors)
            except driver.OutOfDeviceMemoryError as error:
                if size == 1:
                    raise BackendUnavailableError(
                        f"the GPU is out of memory with one image of {height} x {width} and "
                        f"{num_masks} first masks, which takes {num_masks} times "
                        f"{layout.workspace_bytes} bytes; let other programs leave the GPU"
                    ) from error
                size = -(-size // 2)
                continue
            start += size
