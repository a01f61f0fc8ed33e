"""A kernel that is wrong is not used."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from iem_batch.iem import backends, cuda_backend, native_backend, self_check
from iem_batch.iem.cuda import driver
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda.emulation import PACKAGE, emulate

FLIPPED = {
    "masks": ("native/shared/numerics.h", "kMeanWeight = 1e-8", "kMeanWeight = 1e-7"),
    "errors": ("cuda/run.cuh", "kColours * 127.5", "kColours * 127.0"),
}


def wrong_kernel(folder: Path, what: str) -> self_check.Run:
    """Compile the kernel with one of its constants flipped."""
    for part in ("cuda", "native"):
        shutil.copytree(PACKAGE / part, folder / part)
    name, right, wrong = FLIPPED[what]
    source = (folder / name).read_text()
    assert right in source
    (folder / name).write_text(source.replace(right, wrong))
    flags = (f"-I{folder / 'cuda'}", f"-I{folder / 'native'}")

    def run(
        image_BHW3: NDArray[np.uint8], first_BSHW: NDArray[np.bool_], settings: IEMSettings
    ) -> IEMResult:
        return emulate(image_BHW3, first_BSHW, settings, flags=flags)

    return run


def open_card(monkeypatch: pytest.MonkeyPatch, kernel: self_check.Run) -> str | None:
    """Let a kernel be that of this machine's card, and ask for the engine."""
    card = driver.Device(
        handle=0, name="A card", architecture=90, multiprocessors=1, shared_bytes=0
    )
    monkeypatch.setattr(driver, "unavailable", lambda: None)
    monkeypatch.setattr(driver, "open_device", lambda: card)
    monkeypatch.setattr(cuda_backend, "_run", kernel)
    cuda_backend.unavailable.cache_clear()
    try:
        return cuda_backend.unavailable()
    finally:
        cuda_backend.unavailable.cache_clear()


def test_the_kernel_as_it_is_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_card(monkeypatch, emulate) is None


@pytest.mark.parametrize("what", FLIPPED)
def test_a_flipped_constant_is_caught(
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says so, and `auto` takes the next engine."""
    reason = open_card(monkeypatch, wrong_kernel(tmp_path, what))
    assert reason is not None
    assert reason.endswith("(A card)")
    assert capsys.readouterr().err == f"the engine cuda is not used: {reason}\n"
    refused = replace(backends.BACKENDS["cuda"], unavailable=lambda: reason)
    monkeypatch.setitem(backends.BACKENDS, "cuda", refused)
    assert backends.resolve("auto") != "cuda"


def test_without_native_it_is_compared_with_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Torch's errors are close, not the same to the last bit."""
    monkeypatch.setattr(native_backend, "unavailable", lambda: "no compiler")
    assert self_check.difference(emulate) is None
    assert "engine torch" in str(self_check.difference(wrong_kernel(tmp_path, "errors")))
