"""The kernel under the sanitizers: real threads that a race detector watches, exact memory."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest

from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda.emulation import Call, build, emulate, prepare
from tests.iem.noise import noise, random_masks

SETTINGS = [
    IEMSettings(iterations=4, kernel_px=5),
    IEMSettings(iterations=3, smoothing=False, boundary_only=False, kernel_px=5),
]


def run_program(program: Path, call: Call, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the emulator as a program: it reads the call from files and writes the outputs back."""
    call.shape().tofile(folder / "shape")
    (folder / "job").write_bytes(bytes(call.job))
    for name, array in call.arrays.items():
        array.tofile(folder / name)
    command = [str(program), str(folder), str(call.layout.shared_bytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)


def read_back(call: Call, folder: Path) -> IEMResult:
    for name, array in call.arrays.items():
        if array.size:
            array[...] = np.fromfile(folder / name, array.dtype).reshape(array.shape)
    return call.result()


@pytest.mark.parametrize(
    "flags",
    [
        ("-DIEM_TEAM", "-fsanitize=thread"),
        ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    ],
    ids=["threads", "memory"],
)
def test_no_race_and_no_stray_access(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Eight real threads with a real barrier: what the compiler of a GPU would not complain of.

    A phase in which one thread reads what another writes, control flow that reads what the next
    phase changes, and an index outside its array each end the program with a report.
    """
    program = build(tmp_path / "emulator", "-O1", "-DIEM_PROGRAM", *flags)
    for number, settings in enumerate(SETTINGS):
        image, first_mask = noise(1, 2, 18, 37), random_masks(2, 2, 2, 18, 37)
        folder = tmp_path / str(number)
        folder.mkdir()
        call = prepare(image, first_mask, settings, threads=8)
        done = run_program(program, call, folder)
        assert done.returncode == 0, done.stderr[-4000:]
        result, expected = read_back(call, folder), emulate(image, first_mask, settings, threads=8)
        for field in dataclasses.fields(IEMResult):
            np.testing.assert_array_equal(
                getattr(result, field.name), getattr(expected, field.name)
            )
