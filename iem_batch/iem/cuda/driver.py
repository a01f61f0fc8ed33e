"""What is asked of the CUDA driver, through NVIDIA's own binding of its C functions.

Torch is not needed here, so a machine whose torch has no CUDA can use its card all the same. The
context is the device's primary one, which torch uses too.
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, DeviceLostError
from iem_batch.iem.cuda.compiler import KERNEL, compiler_version, oldest_architecture

if TYPE_CHECKING:
    from cuda.bindings import driver

OLDEST_DRIVER = {12: "525.60.13", 13: "580.65.06"}
"""The first driver of each CUDA version, by NVIDIA's table; it runs all code of that version."""

LOST = (
    "CUDA_ERROR_DEVICE_UNAVAILABLE",
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    "CUDA_ERROR_SYSTEM_NOT_READY",
    "CUDA_ERROR_UNKNOWN",
)
"""After these nothing works in this process any more; another process or card may do."""


class OutOfDeviceMemoryError(Exception):
    """The card has not as much free memory as was asked for."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """The card that the engine uses: the first one visible to this process."""

    handle: Any
    name: str
    architecture: int
    """90 for sm_90."""

    multiprocessors: int
    shared_bytes: int
    """Shared memory that one block may have."""


def check(result: tuple[Any, ...], doing: str) -> Any:
    """Unpack what a function of the driver returned.

    Raises:
        OutOfDeviceMemoryError: the card is out of memory.
        DeviceLostError: the card does not answer, or the process can use it no more.
        BackendUnavailableError: anything else went wrong.
    """
    from cuda.bindings import driver

    status, *values = result
    if status == driver.CUresult.CUDA_SUCCESS:
        return values[0] if values else None
    if status == driver.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
        raise OutOfDeviceMemoryError(doing)
    if status.name in LOST:
        raise DeviceLostError(
            f"the GPU was lost while {doing} ({status.name}); nothing of this batch was written. "
            "Another worker can do it again; if it is always this card, look at its health"
        )
    raise BackendUnavailableError(f"the GPU refused {doing}: {status.name}")


def unavailable() -> str | None:
    """Say why this machine's card cannot be used, or None if it can."""
    try:
        major, _ = compiler_version()
        open_device()
    except (BackendUnavailableError, DeviceLostError) as error:
        return str(error)
    except RuntimeError as error:  # the binding looks for the driver when it is first asked
        return f"there is no NVIDIA driver ({error})"
    return _driver_too_old(major)


def _driver_too_old(major: int) -> str | None:
    from cuda.bindings import driver

    version = check(driver.cuDriverGetVersion(), "asking for the driver's version")
    if version // 1000 >= major:
        return None
    has = f"{version // 1000}.{version % 1000 // 10}"
    needed = OLDEST_DRIVER.get(major, f"of CUDA {major}")
    return (
        f"the NVIDIA driver is too old: it is for CUDA {has}, and the compiler installed is for "
        f"CUDA {major}, which needs driver {needed} or newer. Update the driver, or install the "
        f"compiler of CUDA {version // 1000}: pip install 'iem-batch[cuda{version // 1000}]'"
    )


@functools.cache
def open_device() -> Device:
    """Open the first card that this process may use.

    Raises:
        BackendUnavailableError: there is none, or it is older than the compiler allows.
    """
    from cuda.bindings import driver

    (status,) = driver.cuInit(0)
    if status == driver.CUresult.CUDA_ERROR_NO_DEVICE:
        raise BackendUnavailableError("there is no CUDA GPU that this process may use")
    check((status,), "starting the driver")
    handle = check(driver.cuDeviceGet(0), "opening the GPU")

    name = check(driver.cuDeviceGetName(128, handle), "asking the GPU for its name")
    device = Device(
        handle=handle,
        name=name.split(b"\0")[0].decode(),
        architecture=10 * _ask(handle, "COMPUTE_CAPABILITY_MAJOR")
        + _ask(handle, "COMPUTE_CAPABILITY_MINOR"),
        multiprocessors=_ask(handle, "MULTIPROCESSOR_COUNT"),
        shared_bytes=_ask(handle, "MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
    )
    if device.architecture < oldest_architecture():
        raise BackendUnavailableError(
            f"{device.name} is an sm_{device.architecture}; the kernel's compiler starts at "
            f"sm_{oldest_architecture()}"
        )
    return device


def _ask(handle: Any, name: str) -> int:
    from cuda.bindings import driver

    attribute = getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
    value: int = check(driver.cuDeviceGetAttribute(attribute, handle), "asking the GPU")
    return value


def ask_device(name: str) -> int:
    """Ask the card for an attribute by its name without `CU_DEVICE_ATTRIBUTE_`."""
    return _ask(open_device().handle, name)


@functools.cache
def _primary_context() -> Any:
    from cuda.bindings import driver

    # Kept for the life of the process: making it anew takes a good part of a second.
    return check(driver.cuDevicePrimaryCtxRetain(open_device().handle), "opening a context")


@contextmanager
def device_context() -> Iterator[None]:
    """Make the card's primary context the current one of this thread; then what was before."""
    from cuda.bindings import driver

    check(driver.cuCtxPushCurrent(_primary_context()), "taking the context")
    try:
        yield
    finally:
        driver.cuCtxPopCurrent()


@contextmanager
def device_memory(num_bytes: int) -> Iterator[int]:
    """Take memory of the card; gives its address.

    Raises:
        OutOfDeviceMemoryError: there is not as much.
    """
    from cuda.bindings import driver

    address = check(driver.cuMemAlloc(max(1, num_bytes)), f"taking {num_bytes} bytes")
    try:
        yield int(address)
    finally:
        driver.cuMemFree(address)


def upload(array: NDArray[Any], address: int) -> None:
    """Copy an array, contiguous, to the card."""
    from cuda.bindings import driver

    if array.nbytes:
        check(driver.cuMemcpyHtoD(address, array.ctypes.data, array.nbytes), "sending images")


def download(address: int, array: NDArray[Any]) -> None:
    """Copy from the card into an array, contiguous; waits for the kernels before."""
    from cuda.bindings import driver

    if array.nbytes:
        check(driver.cuMemcpyDtoH(array.ctypes.data, address, array.nbytes), "fetching masks")


@functools.lru_cache(maxsize=64)
def load_kernel(code: bytes, shared_bytes: int) -> "driver.CUkernel":
    """Load a kernel, once, and let its blocks have that much shared memory."""
    from cuda.bindings import driver

    library = check(driver.cuLibraryLoadData(code, [], [], 0, [], [], 0), "loading the kernel")
    kernel = check(driver.cuLibraryGetKernel(library, KERNEL.encode()), "finding the kernel")
    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    check(
        driver.cuKernelSetAttribute(attribute, shared_bytes, kernel, open_device().handle),
        f"giving a block {shared_bytes} bytes of shared memory",
    )
    return kernel


def launch(
    kernel: "driver.CUkernel",
    blocks: int,
    threads: int,
    shared_bytes: int,
    argument: ctypes.Structure,
) -> None:
    """Run a kernel of one argument to its end, on the default stream."""
    from cuda.bindings import driver

    function = check(driver.cuKernelGetFunction(kernel), "finding the kernel")
    pointers = (ctypes.c_void_p * 1)(ctypes.addressof(argument))
    grid, block = (blocks, 1, 1), (threads, 1, 1)
    check(
        driver.cuLaunchKernel(
            function, *grid, *block, shared_bytes, 0, ctypes.addressof(pointers), 0
        ),
        "starting the kernel",
    )
    check(driver.cuCtxSynchronize(), "running the kernel")
