"""Engines of the user's that die, hang or break: only their own images are lost."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iem_batch.exec.isolate import do_alone
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_mark
from iem_batch.steps.do import do
from iem_batch.steps.segment.step import build
from tests.calling import Call
from tests.steps.jobs import SIZE_PX, work_of
from tests.steps.segment.test_engine import HERE, planned, rejected, rows_of
from tests.test_cli import QUICK, data_files


def test_killed_and_resumed_gives_the_same_bytes(write: Any, tmp_path: Path) -> None:
    write({5: 250})
    engine = ["--engine", f"{HERE}:KilledOnce", "--shard-size", "2", "--local", *QUICK[1:]]
    for name in ("killed", "calm"):
        arguments = ["segment", str(tmp_path / "photos"), str(tmp_path / name), *engine]
        # The same settings, so that it is the same run; but for the calm one it was killed before.
        arguments += ["--segment.engine_args", f'{{"marker": "{tmp_path / "marker"}"}}']
        command = [sys.executable, "-m", "iem_batch", *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        if name == "killed":
            assert ended.returncode == -signal.SIGKILL
            assert 0 < len(list((tmp_path / "killed/segment").iterdir())) < 4
            ended = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    assert data_files(tmp_path / "killed") == data_files(tmp_path / "calm")
    killed = RunFolder(str(tmp_path / "killed"))
    assert len(rows_of(killed, "segment")) == 6
    assert rejected(killed) == {"5.png": ("engine_failed", "LookupError: no object")}


def test_an_image_that_kills_it_is_found(write: Any, tmp_path: Path) -> None:
    write({1: 254, 3: 250})
    step = build(planned(tmp_path, "Troubled", kills=True))
    do_alone(work_of(step), 0, 2)
    assert rejected(step.run) == {
        "1.png": ("kills_worker", "killed its process by SIGSEGV"),
        "3.png": ("engine_failed", "LookupError: no object"),
    }
    assert list(rows_of(step.run, "segment")) == ["0.png", "2.png"]


def test_an_image_that_breaks_it_for_good_is_found(write: Any, tmp_path: Path) -> None:
    """Catches good images blamed because a GPU's process can be used no more."""
    write({2: 250})
    job = planned(tmp_path, "Breaking", shard_size=7)
    do(job, "segment")
    message = "failed in the engine: RuntimeError: illegal memory access"
    assert rejected(job.run) == {"2.png": ("kills_worker", message)}
    assert len(rows_of(job.run, "segment")) == 6
    assert read_mark(job.run, "segment", 0).attempts == 2


def test_a_batch_that_memory_is_too_small_for_is_halved(write: Any, tmp_path: Path) -> None:
    write()
    job = planned(tmp_path, "Troubled", most=2)
    do(job, "segment")
    assert len(rows_of(job.run, "segment")) == 7


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)  # what hangs is waited for about ten times
def test_an_engine_that_crashes_hangs_and_leaks_loses_its_own_images_alone(
    tmp_path: Path, call: Call, local_ray: None
) -> None:
    """One image in a hundred kills it, one hangs it, and each costs it a megabyte."""
    shade = {30: 254, 90: 255, 130: 254, 199: 250}
    (tmp_path / "photos").mkdir()
    for number in range(200):
        image = np.full((SIZE_PX, SIZE_PX, 3), 100, np.uint8)
        image[number % SIZE_PX :, :, 1] = 200
        image[0, 0, 0] = shade.get(number, 100)
        Image.fromarray(image).save(tmp_path / f"photos/{number:03d}.png")
    engine = ["--engine", f"{HERE}:Unruly", "--segment.engine_args", '{"kills": true}']
    more = ["--plan.shard_size=50", "--limits.timeout_s=10"]
    run = RunFolder(str(tmp_path / "run"))
    status, _, error = call("segment", tmp_path / "photos", run.url, *QUICK, *engine, *more)
    assert status == 0, error
    reasons = {image_id: reason for image_id, (reason, _) in rejected(run).items()}
    expected = dict.fromkeys(("030.png", "090.png", "130.png"), "kills_worker")
    assert reasons == expected | {"199.png": "engine_failed"}
    assert len(rows_of(run, "segment")) == 196
    assert call("verify", run.url)[0] == 0
