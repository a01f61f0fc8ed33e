"""The CUDA backend: on a driver without a card behind it, and on a real card where there is one."""

import dataclasses
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.iem import cuda_backend, native_backend
from iem_batch.iem.cuda import compiler, driver
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda import emulation
from tests.iem.noise import noise, random_masks

SETTINGS = IEMSettings(iterations=8)
HERE = """
import os, sys
import numpy as np
from iem_batch.iem import cuda_backend
from iem_batch.iem.settings import IEMSettings
from tests.iem.noise import noise, random_masks
image, first_mask = noise(0, 5, 24, 40), random_masks(1, 5, 2, 24, 40)
settings = IEMSettings(iterations=8)
"""
SEGMENT = """
result = cuda_backend.segment(image, first_mask, settings)
np.savez(sys.argv[1], **vars(result))
"""
FAIL = """
from iem_batch.errors import IEMBatchError
for _ in range(2):
    try:
        cuda_backend.segment(image, first_mask, settings)
    except IEMBatchError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the fake driver, and the kernels in its cache.

    In place of machine code, which the fake cannot read, these name the file of a shape.
    """
    try:
        compiler.compiler_version()
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("driver")
    flags = ["-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-soname,libcuda.so.1", "-O2"]
    source = emulation.SOURCE.with_name("fake_driver.cpp")
    emulation.build(folder / "libcuda.so.1", *flags, source=source)
    environment = os.environ | {
        "LD_LIBRARY_PATH": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "FAKE_LOG": str(folder / "log"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        for size, settings in (((128, 128), IEMSettings()), ((24, 40), SETTINGS)):
            layout, _ = cuda_backend.prepare(*size, settings, 232_448)
            shape = folder / f"{size[0]}x{size[1]}"
            np.array([*layout.fields.values()], np.int32).tofile(shape)
            patch.setattr(
                compiler, "_run_nvrtc", lambda options, s=shape: b"\x7fELF%s\0" % bytes(s)
            )
            compiler.compile_kernel(layout, 90)
    return environment


def run_python(code: str, environment: dict[str, str], *arguments: str, **fakes: object) -> str:
    """Run a program; the fakes begin when the engine has passed its self-check."""
    settings = {f"FAKE_{name.upper()}": str(value) for name, value in fakes.items()}
    then = f"assert cuda_backend.unavailable() is None\nos.environ |= {settings}\n"
    program = HERE + (then if fakes else "") + textwrap.dedent(code)
    return run_program(program, environment, *arguments)


def run_program(program: str, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def launches(environment: dict[str, str]) -> list[str]:
    """Read and clear the fake's log."""
    log = Path(environment["FAKE_LOG"])
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def assert_as_emulated(saved: Path) -> None:
    expected = emulation.emulate(
        noise(0, 5, 24, 40), random_masks(1, 5, 2, 24, 40), SETTINGS, seed=0, threads=512
    )
    with np.load(saved) as result:
        for field in dataclasses.fields(IEMResult):
            np.testing.assert_array_equal(result[field.name], getattr(expected, field.name))


def test_the_whole_way_to_the_driver_and_back(fake_driver: dict[str, str], tmp_path: Path) -> None:
    """What NVIDIA's binding passes on is what the kernel expects; blocks are no more than items."""
    launches(fake_driver)
    run_python(SEGMENT, fake_driver, str(tmp_path / "r.npz"))
    assert launches(fake_driver) == ["3 blocks, 3 images", "3 blocks, 5 images"]
    assert_as_emulated(tmp_path / "r.npz")


def test_one_first_mask_for_all_images_is_sent_once(
    fake_driver: dict[str, str], tmp_path: Path
) -> None:
    code = "first_mask = np.broadcast_to(first_mask[:1], first_mask.shape)" + SEGMENT
    run_python(code, fake_driver, str(tmp_path / "r.npz"))
    expected = emulation.emulate(
        noise(0, 5, 24, 40), np.repeat(random_masks(1, 5, 2, 24, 40)[:1], 5, axis=0), SETTINGS
    )
    with np.load(tmp_path / "r.npz") as result:
        np.testing.assert_array_equal(result["mask_BSHW"], expected.mask_BSHW)
        np.testing.assert_array_equal(result["error_foreground_BS"], expected.error_foreground_BS)


def test_out_of_memory_halves_the_batch_and_goes_on(
    fake_driver: dict[str, str], tmp_path: Path
) -> None:
    """Five images with three blocks do not fit; one image with two blocks does."""
    layout, _ = cuda_backend.prepare(24, 40, SETTINGS, 232_448)
    launches(fake_driver)
    memory = int(2.6 * layout.workspace_bytes)
    run_python(SEGMENT, fake_driver, str(tmp_path / "r.npz"), memory=memory)
    assert launches(fake_driver) == ["3 blocks, 3 images"] + ["2 blocks, 1 images"] * 5
    assert_as_emulated(tmp_path / "r.npz")


def test_not_even_one_image_fits(fake_driver: dict[str, str]) -> None:
    said = run_python(FAIL, fake_driver, memory=1000)
    assert said.startswith("BackendUnavailableError the GPU is out of memory with one image of 24")


@pytest.mark.parametrize("status", [700, 719, 214, 46])
def test_a_lost_device_is_an_error_of_its_own(fake_driver: dict[str, str], status: int) -> None:
    """An illegal access, a failed launch, an uncorrectable memory error, a card taken away."""
    said = run_python(FAIL, fake_driver, synchronize=status)
    assert said.count("DeviceLostError the GPU was lost while running the kernel (CUDA_ERROR") == 2
    assert "Another worker can do it again" in said


@pytest.mark.parametrize(
    ("fakes", "reason"),
    [
        ({"driver_version": 12040}, "is for CUDA 12.4.*needs driver 580.65.06 or newer.*cuda12"),
        ({"devices": 0}, "there is no CUDA GPU that this process may use"),
        ({"architecture": 70}, "Fake Hopper is an sm_70; the kernel's compiler starts at sm_75"),
    ],
)
def test_why_it_cannot_run(fake_driver: dict[str, str], fakes: dict[str, int], reason: str) -> None:
    code = """
    from iem_batch.iem.backends import resolve
    from iem_batch.errors import BackendUnavailableError
    assert resolve("auto") != "cuda"
    try:
        resolve("cuda")
    except BackendUnavailableError as error:
        print(error)
    """
    settings = {f"FAKE_{name.upper()}": str(value) for name, value in fakes.items()}
    said = run_program(textwrap.dedent(code), fake_driver | settings)
    assert said.startswith("the backend cuda cannot run here: ")
    assert re.search(reason, said)


def test_auto_takes_it_where_there_is_a_card(fake_driver: dict[str, str]) -> None:
    code = "from iem_batch.iem.backends import resolve\nprint(resolve('auto'))"
    assert run_python(code, fake_driver).strip() == "cuda"


def test_without_the_binding_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert "pip install 'iem-batch[cuda]'" in str(driver.unavailable())


def test_what_the_kernel_does_not_take_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_backend, "unavailable", lambda: None)
    monkeypatch.setattr(cuda_backend, "MAX_PIXELS", 100)
    image, first_mask = noise(0, 1, 10, 12), random_masks(0, 1, 1, 10, 12)
    result = cuda_backend.segment(image, first_mask, SETTINGS)
    assert "more than 100 pixels" in str(cuda_backend.not_taken(10, 12, SETTINGS))
    expected = emulation.emulate(image, first_mask, SETTINGS)
    np.testing.assert_array_equal(result.mask_BSHW, expected.mask_BSHW)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (IEMSettings(iterations=5000), "5000 iterations are more than 4096"),
        (IEMSettings(kernel_px=99), "99 taps reach farther than 64 pixels"),
    ],
)
def test_limits_are_said(settings: IEMSettings, reason: str) -> None:
    assert cuda_backend.not_taken(128, 128, settings) == reason
    assert cuda_backend.not_taken(128, 128, IEMSettings()) is None


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(SettingsError, match="images are float64"):
        cuda_backend.segment(
            np.zeros((1, 4, 6, 3)),  # type: ignore[arg-type]
            np.zeros((1, 1, 4, 6), bool),
            SETTINGS,
        )


gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        cuda_backend.unavailable() is not None, reason=f"{cuda_backend.unavailable()}"
    ),
]


@pytest.mark.parametrize("size", [(128, 128), (61, 75), (20, 333), (1, 1), (256, 256)])
@pytest.mark.parametrize(
    "settings",
    [
        IEMSettings(),
        IEMSettings(smoothing=False, diversity_weight=0.0),
        IEMSettings(boundary_only=False, iterations=20),
    ],
)
class TestOnACard:
    """Run with a GPU: every bit is that of `native`, whatever the size and the switches."""

    pytestmark = gpu

    def test_equals_native(self, size: tuple[int, int], settings: IEMSettings) -> None:
        image, first_mask = noise(8, 40, *size), random_masks(8, 40, 2, *size)
        result = cuda_backend.segment(image, first_mask, settings)
        expected = native_backend.segment(image, first_mask, settings, num_threads=2)
        for field in dataclasses.fields(IEMResult):
            np.testing.assert_array_equal(
                getattr(result, field.name), getattr(expected, field.name)
            )

    def test_the_schedule_makes_no_difference(
        self, size: tuple[int, int], settings: IEMSettings
    ) -> None:
        image = noise(9, 500, *size)
        first_mask = random_masks(9, 500, 1, *size)
        once = cuda_backend.segment(image, first_mask, settings)
        again = cuda_backend.segment(image[::-1], first_mask[::-1], settings)
        np.testing.assert_array_equal(once.mask_BSHW, again.mask_BSHW[::-1])
        np.testing.assert_array_equal(once.error_BS, again.error_BS[::-1])


@pytest.mark.parametrize("name", ["flowers17", "people", "cars"])
class TestPhotographsOnACard:
    """The paper's setting on real photographs."""

    pytestmark = gpu

    def test_equals_native(self, photos: Path, name: str) -> None:
        from tests.iem.cuda.test_kernel import photographs

        image = photographs(photos / name, 60)
        first_mask = np.broadcast_to(
            centred_squares(128, 128, [44, 78, 92]), (len(image), 3, 128, 128)
        )
        result = cuda_backend.segment(image, first_mask, IEMSettings())
        expected = native_backend.segment(image, first_mask, IEMSettings(), num_threads=2)
        for field in dataclasses.fields(IEMResult):
            np.testing.assert_array_equal(
                getattr(result, field.name), getattr(expected, field.name)
            )
