"""NVRTC compiles the kernel without a card, for every generation it is meant for."""

import re
from pathlib import Path

import pytest

from iem_batch.errors import BackendUnavailableError
from iem_batch.iem import cuda_backend
from iem_batch.iem.cuda import compiler
from iem_batch.iem.settings import IEMSettings


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "iem_batch"


@pytest.fixture
def nvrtc() -> None:
    try:
        compiler.compiler_version()
    except BackendUnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("architecture", "shared_limit"), [(80, 166_912), (90, 232_448), (100, 232_448)]
)
@pytest.mark.usefixtures("nvrtc")
def test_it_compiles_for(architecture: int, shared_limit: int, own_cache: Path) -> None:
    """A100, H100 and B200, with the shared memory that each gives a block; the code is kept."""
    layout, _ = cuda_backend.prepare(128, 128, IEMSettings(), shared_limit)
    assert layout.shared_bytes <= shared_limit
    code = compiler.compile_kernel(layout, architecture)
    assert code.startswith(b"\x7fELF")
    assert compiler.KERNEL.encode() in code
    (kept,) = own_cache.iterdir()
    assert kept.read_bytes() == code
    kept.write_bytes(b"kept")
    assert compiler.compile_kernel(layout, architecture) == b"kept"


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((24, 70), IEMSettings(smoothing=False, boundary_only=False)),
        ((512, 512), IEMSettings(kernel_px=25)),
    ],
)
@pytest.mark.usefixtures("nvrtc")
def test_other_sizes_and_switches_compile(size: tuple[int, int], settings: IEMSettings) -> None:
    layout, _ = cuda_backend.prepare(*size, settings, 232_448)
    assert compiler.compile_kernel(layout, 90)


@pytest.mark.usefixtures("nvrtc")
def test_what_the_compiler_says_is_passed_on() -> None:
    layout, _ = cuda_backend.prepare(16, 16, IEMSettings(), 232_448)
    with pytest.raises(
        BackendUnavailableError, match="NVRTC cannot compile the kernel .*architecture"
    ):
        compiler.compile_kernel(layout, 1)


@pytest.mark.usefixtures("nvrtc")
def test_a_cache_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_run_nvrtc", lambda options: b"code")
    layout, _ = cuda_backend.prepare(16, 16, IEMSettings(), 232_448)
    assert compiler.compile_kernel(layout, 90) == b"code"


def test_everything_the_source_includes_is_given_to_the_compiler() -> None:
    """NVRTC reads no files: an include without its text fails at the user's only."""
    texts = [(compiler.SOURCES / "kernel.cu").read_text(), *compiler.headers().values()]
    included = {name for text in texts for name in re.findall(r'#include "(.*)"', text)}
    assert included == set(compiler.headers())
