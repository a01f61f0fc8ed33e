"""The CUDA kernel on the CPU: the same source, compiled by the host's compiler."""

import ctypes
import functools
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iem_batch.iem.cuda.job import TABLES, Job, describe
from iem_batch.iem.cuda.layout import Layout, plan_layout
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import make_tables

SOURCE = Path(__file__).with_name("emulator.cpp")
PACKAGE = Path(__file__).parents[3] / "iem_batch" / "iem"
FLAGS = ("-std=c++17", "-ffp-contract=off", "-Wno-unknown-pragmas", "-pthread", "-g1")
SHARED_BYTES = 232_448
"""What a block may have on a Hopper card."""


def compiler() -> str:
    """Return the host's compiler, or skip."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("g++ is not installed: the kernel cannot be compiled for the CPU")
    return found


def build(target: Path, *flags: str, source: Path = SOURCE) -> Path:
    """Compile the emulator, or what is built on it."""
    includes = [f"-I{PACKAGE / 'cuda'}", f"-I{PACKAGE / 'native'}"]
    command = [compiler(), *FLAGS, *flags, *includes, str(source), "-o", str(target), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@functools.cache
def emulator(*flags: str) -> ctypes.CDLL:
    """Load the emulator, compiled with these flags."""
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder) / "emulator.so", "-O2", "-fPIC", "-shared", *flags)
        return ctypes.CDLL(str(library))


@dataclass(frozen=True, kw_only=True)
class Call:
    """A kernel's arguments, with the arrays they point to."""

    layout: Layout
    job: Job
    arrays: dict[str, NDArray[np.generic]]

    def result(self) -> IEMResult:
        """Read what the kernel wrote."""
        return IEMResult(
            mask_BSHW=self.arrays["mask"].view(np.bool_),
            error_foreground_BS=self.arrays["error_foreground"],
            error_background_BS=self.arrays["error_background"],
            iterations_BS=self.arrays["iterations"],
            status_BS=self.arrays["status"],
        )

    def shape(self) -> NDArray[np.int32]:
        """Return the fields of `Shape`."""
        return np.array([*self.layout.fields.values()], dtype=np.int32)


def prepare(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    shared_limit: int = SHARED_BYTES,
    threads: int = 64,
) -> Call:
    """Lay out a call as the CUDA backend does; outputs start as garbage."""
    num_images, num_masks, height, width = first_mask_BSHW.shape
    tables = make_tables(height, width, settings)
    layout = plan_layout(
        height,
        width,
        tables.radius_y,
        tables.radius_x,
        settings,
        shared_limit=shared_limit,
        threads=threads,
    )
    arrays: dict[str, NDArray[np.generic]] = {
        "image": np.ascontiguousarray(image_BHW3),
        "first": np.ascontiguousarray(first_mask_BSHW).view(np.uint8),
        "mask": np.full(first_mask_BSHW.shape, 9, np.uint8),
        "error_foreground": np.full((num_images, num_masks), np.nan),
        "error_background": np.full((num_images, num_masks), np.nan),
        "iterations": np.full((num_images, num_masks), -7, np.int32),
        "status": np.full((num_images, num_masks), 99, np.uint8),
        "queue": np.zeros(1, np.int32),
        **{name: np.ascontiguousarray(getattr(tables, name)) for name in TABLES},
        "workspace": np.empty(0, np.uint8),
    }
    job = describe(
        first_mask_BSHW.shape,
        num_masks * height * width,
        settings,
        layout,
        tables,
        {name: array.ctypes.data for name, array in arrays.items()},
    )
    return Call(layout=layout, job=job, arrays=arrays)


def emulate(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    seed: int = 1,
    blocks: int = 1,
    flags: tuple[str, ...] = (),
    shared_limit: int = SHARED_BYTES,
    threads: int = 64,
) -> IEMResult:
    """Run the kernel on the CPU.

    Args:
        image_BHW3: uint8 RGB.
        first_mask_BSHW: the masks each image starts from.
        settings: what decides the masks.
        seed: 0 plays the threads of each phase in ascending order, else in random ones.
        blocks: of the grid; they share the queue and run at the same time.
        flags: more of the compiler's.
        shared_limit: bytes of shared memory that a block may have.
        threads: of a block.
    """
    call = prepare(
        image_BHW3, first_mask_BSHW, settings, shared_limit=shared_limit, threads=threads
    )
    shape = call.shape()
    emulator(*flags).emulate(
        ctypes.c_void_p(shape.ctypes.data),
        ctypes.byref(call.job),
        ctypes.c_longlong(call.layout.shared_bytes),
        blocks,
        ctypes.c_uint(seed),
    )
    return call.result()
