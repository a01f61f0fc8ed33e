"""The kernel from source to machine code: NVRTC, at run time, for the card and the size there are.

NVRTC needs neither nvcc nor a card. The machine code is kept in the user's cache, by everything it
depends on.
"""

import functools
import hashlib
import os
import tempfile
from pathlib import Path

from iem_batch.errors import BackendUnavailableError
from iem_batch.iem.cuda.layout import Layout

KERNEL = "iem_segment"
"""The name of the kernel in kernel.cu."""

SOURCES = Path(__file__).parent
NATIVE = SOURCES.parent / "native"

OPTIONS = ("--std=c++17", "--fmad=false", "--prec-div=true", "--ftz=false")
"""No contraction: where fused and separate operations differ, the source says which."""


@functools.cache
def headers() -> dict[str, str]:
    """Read every file that kernel.cu includes, by the name it has there."""
    paths = {path.name: path for path in sorted(SOURCES.glob("*.cuh"))}
    paths |= {f"shared/{path.name}": path for path in sorted((NATIVE / "shared").iterdir())}
    return {name: path.read_text() for name, path in paths.items()}


def compiler_version() -> tuple[int, int]:
    """Return the version of NVRTC, which is that of the CUDA toolkit it belongs to.

    Raises:
        BackendUnavailableError: the binding or NVRTC is not installed.
    """
    try:
        from cuda.bindings import nvrtc

        status, major, minor = nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:  # the binding finds the library when first asked
        raise BackendUnavailableError(
            f"the CUDA binding or its compiler is missing ({error}); pip install 'iem-batch[cuda]'"
        ) from error
    _check(status, "asking NVRTC for its version")
    return major, minor


def oldest_architecture() -> int:
    """Return the oldest architecture that NVRTC compiles for, 75 for sm_75."""
    from cuda.bindings import nvrtc

    status, architectures = nvrtc.nvrtcGetSupportedArchs()
    _check(status, "asking NVRTC for its architectures")
    oldest: int = min(architectures)
    return oldest


def options_for(layout: Layout, architecture: int) -> list[str]:
    """List what NVRTC is given beside the source.

    Args:
        layout: the size and what else the code is made for.
        architecture: 90 for sm_90.
    """
    values = [f"-DIEM_{name}={value}" for name, value in layout.fields.items()]
    return [f"--gpu-architecture=sm_{architecture}", *OPTIONS, *values]


def compile_kernel(layout: Layout, architecture: int) -> bytes:
    """Compile the kernel, or take it from the cache.

    Args:
        layout: the size and what else the code is made for.
        architecture: 90 for sm_90.

    Returns:
        The machine code (a cubin).

    Raises:
        BackendUnavailableError: NVRTC is not installed or refuses; the message has its words.
    """
    options = options_for(layout, architecture)
    parts = [*map(str, compiler_version()), *options, (SOURCES / "kernel.cu").read_text()]
    parts += [text for item in headers().items() for text in item]
    path = _cache_folder() / (hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".cubin")
    try:
        return path.read_bytes()
    except OSError:
        code = _run_nvrtc(options)
    _keep(path, code)
    return code


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "iem_batch"


def _keep(path: Path, code: bytes) -> None:
    """Write a file of the cache in one step; workers may do so at the same time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(code)
        os.replace(file.name, path)
    except OSError:
        return  # a machine without a place for it compiles in every process


def _run_nvrtc(options: list[str]) -> bytes:
    from cuda.bindings import nvrtc

    names = [name.encode() for name in headers()]
    texts = [text.encode() for text in headers().values()]
    source = (SOURCES / "kernel.cu").read_bytes()
    status, program = nvrtc.nvrtcCreateProgram(source, b"kernel.cu", len(names), texts, names)
    _check(status, "preparing the kernel")
    try:
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            _, size = nvrtc.nvrtcGetProgramLogSize(program)
            log = b" " * size
            nvrtc.nvrtcGetProgramLog(program, log)
            raise BackendUnavailableError(
                f"NVRTC cannot compile the kernel ({status.name}): "
                + log.rstrip(b"\0 \n").decode(errors="replace")
            )
        status, size = nvrtc.nvrtcGetCUBINSize(program)
        _check(status, "asking for the kernel's size")
        code: bytes = b" " * size
        (status,) = nvrtc.nvrtcGetCUBIN(program, code)
        _check(status, "fetching the kernel")
        return code
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _check(status: object, doing: str) -> None:
    from cuda.bindings import nvrtc

    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise BackendUnavailableError(f"{doing} failed: {status}")
