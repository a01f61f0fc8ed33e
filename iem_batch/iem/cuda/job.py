"""One launch of the kernel: its argument, what it is sent and what comes back."""

import ctypes
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.cuda.driver import device_memory, download, launch, upload
from iem_batch.iem.cuda.layout import Layout
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import Tables

if TYPE_CHECKING:
    from cuda.bindings import driver

OUTPUTS = (
    "mask_BSHW",
    "error_foreground_BS",
    "error_background_BS",
    "iterations_BS",
    "status_BS",
)
"""What the kernel writes, by the names of `IEMResult` and in the order of `Job`."""


class Job(ctypes.Structure):
    """The argument of the kernel, `Job` of state.cuh.

    B images of H x W pixels, S first masks each, and the blur's weights. Pointers are addresses in
    the memory of the device; strides are in bytes.
    """

    _fields_ = (
        ("image", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
        ("first_stride_b", ctypes.c_longlong),
        ("first_stride_s", ctypes.c_longlong),
        ("mask", ctypes.c_void_p),
        ("error_foreground", ctypes.c_void_p),
        ("error_background", ctypes.c_void_p),
        ("iterations", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
        ("queue", ctypes.c_void_p),
        ("workspace", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_longlong),
        ("weight_y", ctypes.c_void_p),
        ("weight_x", ctypes.c_void_p),
        ("tap_y", ctypes.c_void_p),
        ("tap_x", ctypes.c_void_p),
        ("widest_y", ctypes.c_void_p),
        ("widest_x", ctypes.c_void_p),
        ("diversity", ctypes.c_double),
        ("edge_tap", ctypes.c_float),
        ("images", ctypes.c_int),
        ("masks", ctypes.c_int),
        ("max_iterations", ctypes.c_int),
    )


TABLES = ("weight_y", "weight_x", "tap_y", "tap_x", "widest_y", "widest_x")
"""The fields of `Job` that are arrays of `Tables`."""


def describe(
    shape_BSHW: tuple[int, ...],
    stride_b: int,
    settings: IEMSettings,
    layout: Layout,
    tables: Tables,
    addresses: dict[str, int],
) -> Job:
    """Fill in the kernel's argument.

    Args:
        shape_BSHW: of the masks.
        stride_b: bytes from the first masks of one image to those of the next, 0 if they share.
        settings: lambda and the iterations; the rest is compiled in.
        layout: what the kernel is compiled for.
        tables: for `edge_tap`.
        addresses: of every array, by the names of `Job`.
    """
    num_images, num_masks, height, width = shape_BSHW
    return Job(
        **addresses,
        first_stride_b=stride_b,
        first_stride_s=height * width,
        workspace_bytes=layout.workspace_bytes,
        diversity=3 * settings.diversity_weight / 127.5,
        edge_tap=tables.edge_tap,
        images=num_images,
        masks=num_masks,
        max_iterations=settings.iterations,
    )


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one launch works on."""

    image_BHW3: NDArray[np.uint8]
    first_mask_BSHW: NDArray[np.bool_]
    settings: IEMSettings

    outputs: list[NDArray[Any]]
    """Where the results go, contiguous, in the order of `OUTPUTS`."""


def run_batch(
    kernel: "driver.CUkernel", batch: Batch, layout: Layout, tables: Tables, max_blocks: int
) -> None:
    """Send a batch, run the kernel and fetch the results.

    Args:
        kernel: compiled for `layout`.
        batch: at least one image with at least one first mask.
        layout: what the kernel is compiled for.
        tables: for this size and blur.
        max_blocks: blocks that the card runs at once; each takes items from one queue.

    Raises:
        OutOfDeviceMemoryError: the card is out of memory; nothing was computed.
        DeviceLostError: the card stopped working.
    """
    shape_BSHW = batch.first_mask_BSHW.shape
    shared = batch.first_mask_BSHW.strides[0] == 0
    first = batch.first_mask_BSHW[:1] if shared else batch.first_mask_BSHW
    blocks = min(shape_BSHW[0] * shape_BSHW[1], max_blocks)
    sent: dict[str, NDArray[Any]] = {
        "image": np.ascontiguousarray(batch.image_BHW3),
        "first": np.ascontiguousarray(first),
        "queue": np.zeros(1, np.int32),
        **{name: np.ascontiguousarray(getattr(tables, name)) for name in TABLES},
    }
    fetched = dict(
        zip(
            ("mask", "error_foreground", "error_background", "iterations", "status"),
            batch.outputs,
            strict=True,
        )
    )
    with ExitStack() as memory:
        taken = {name: array.nbytes for name, array in (sent | fetched).items()}
        taken["workspace"] = blocks * layout.workspace_bytes
        address = {name: memory.enter_context(device_memory(size)) for name, size in taken.items()}
        for name, array in sent.items():
            upload(array, address[name])
        stride_b = 0 if shared else sent["first"].strides[0]
        job = describe(shape_BSHW, stride_b, batch.settings, layout, tables, address)
        launch(kernel, blocks, layout.fields["threads"], layout.shared_bytes, job)
        for name, array in fetched.items():
            download(address[name], array)
