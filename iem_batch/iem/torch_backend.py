"""IEM in batched torch operations, without autograd; its masks are those of `reference`.

It computes in float32, and again in float64 where the sign of a gradient is in doubt.

On a CPU each item is a batch by itself: it stays in the cache of one core, and what it gives
depends neither on the other items of the call nor on the number of threads.

Memory of a batch, per pixel and slot: some 45 float32 fields and one byte for each of N + 1 masks.
At 128 x 128 and 150 iterations that is 5.4 MB for each thread, or 1.4 GB on a CUDA device.

B = images, S = first masks of each image, H, W = pixels, 2 = terms of E.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, DeviceLostError
from iem_batch.iem.batch import Batch, Engine, Item, image_planes, make_engine, run_batch
from iem_batch.iem.gradient import error_terms, inpaint_sides
from iem_batch.iem.inputs import check_inputs
from iem_batch.iem.result import IEMResult, Status, mask_status
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_state import exact_torch

CUDA_SLOTS = 256
"""Items in flight on a CUDA device, if its memory allows."""

Positions = list[tuple[int, int]]
"""(b, s) of some items."""


def final_errors(
    image_HW3: NDArray[np.uint8], mask_HW: NDArray[np.bool_], engine: Engine
) -> list[float]:
    """Return the two terms of E for a mask with both sides, computed in float64."""
    image_1H4W = image_planes(image_HW3)[None].to(engine.device, torch.float64)
    mask_1H1W = torch.from_numpy(mask_HW)[None, :, None].to(engine.device, torch.float64)
    inpainting = inpaint_sides(image_1H4W, mask_1H1W, engine.exact_blur)
    terms: list[float] = error_terms(inpainting, mask_1H1W)[0].tolist()
    return terms


def ok_positions(mask_BSHW: NDArray[np.bool_]) -> Positions:
    """Return (b, s) of each mask that has both sides."""
    return [(int(b), int(s)) for b, s in np.argwhere(mask_status(mask_BSHW) == Status.OK)]


def halve_while_out_of_memory(
    iterate: Callable[[Positions, int], None], pending: Callable[[], Positions], num_slots: int
) -> None:
    """Run what is pending with fewer and fewer slots until the device's memory is enough.

    Args:
        iterate: runs items with that many slots; what it did before it failed is no longer pending.
        pending: the items not done yet.
        num_slots: to begin with.

    Raises:
        BackendUnavailableError: one slot is too much.
    """
    while positions := pending():
        try:
            iterate(positions, num_slots)
        except torch.OutOfMemoryError as error:
            if num_slots == 1:
                raise BackendUnavailableError(
                    "the GPU is out of memory with one image at a time; let other programs leave it"
                ) from error
            num_slots //= 2
            torch.cuda.empty_cache()


@contextmanager
def lost_device_by_its_name() -> Iterator[None]:
    """Raise DeviceLostError for what torch says of a CUDA device that does not answer any more."""
    try:
        yield
    except RuntimeError as error:
        if "CUDA error" not in str(error):
            raise
        raise DeviceLostError(
            f"the GPU was lost ({str(error).splitlines()[0]}); nothing of this batch was written. "
            "Another worker can do it again"
        ) from error


def segment(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run IEM on the CUDA device if there is one, else on the CPU; see `segment_on`."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return segment_on(device, image_BHW3, first_mask_BSHW, settings, num_threads=num_threads)


def segment_on(
    device: torch.device,
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
) -> IEMResult:
    """Run IEM from every first mask of every image; see `iem_batch.iem.backends.Segment`.

    Args:
        device: a CPU or CUDA device.
        image_BHW3: uint8 RGB.
        first_mask_BSHW: the masks each image starts from.
        settings: what decides the masks.
        num_threads: images worked on at once on a CPU, each by one thread.

    Raises:
        BackendUnavailableError: the CUDA device has no memory for one image.
        DeviceLostError: the CUDA device stopped working; another worker can do the same again.
        SettingsError: the arguments do not go together; see `check_inputs`.
    """
    check_inputs(image_BHW3, first_mask_BSHW, num_threads)
    height, width = image_BHW3.shape[1:3]
    mask_BSHW = first_mask_BSHW.copy()
    iterations_BS = np.zeros(mask_BSHW.shape[:2], dtype=np.int32)
    error_2BS = np.zeros((2, *mask_BSHW.shape[:2]))
    engine = make_engine(height, width, settings, device)

    def pending() -> Positions:
        return [bs for bs in ok_positions(mask_BSHW) if not iterations_BS[bs]]

    def iterate(positions: Positions, num_slots: int) -> None:
        items = (
            Item(position=bs, image_HW3=image_BHW3[bs[0]], first_mask_HW=first_mask_BSHW[bs])
            for bs in positions
        )
        for outcome in run_batch(items, Batch(num_slots, height, width, engine)):
            mask_BSHW[outcome.position] = outcome.mask_HW
            iterations_BS[outcome.position] = outcome.iterations

    def score(bs: tuple[int, int]) -> None:
        error_2BS[:, *bs] = final_errors(image_BHW3[bs[0]], mask_BSHW[bs], engine)

    with lost_device_by_its_name(), exact_torch(1), ThreadPoolExecutor(num_threads) as pool:
        if settings.iterations:
            if device.type == "cpu":
                list(pool.map(iterate, [[bs] for bs in pending()], repeat(1)))
            else:
                halve_while_out_of_memory(iterate, pending, CUDA_SLOTS)
        list(pool.map(score, ok_positions(mask_BSHW)))
    return IEMResult(
        mask_BSHW=mask_BSHW,
        error_foreground_BS=error_2BS[0],
        error_background_BS=error_2BS[1],
        iterations_BS=iterations_BS,
        status_BS=mask_status(mask_BSHW),
    )
