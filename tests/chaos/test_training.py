"""A training that is killed and begun again ends with the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from iem_batch.processes import birth, descendants
from iem_batch.run.folder import RunFolder
from iem_batch.steps.train.layout import HISTORY, WEIGHTS
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.train.trainer import FOLDER

SETTINGS: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 4,
    "images_per_pass": 2,
    "precision": "fp32",
    "checkpoint_every_epochs": 2,
}

_LOCAL = """
import json, sys
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.settings import TrainSettings
from tests.steps.train.trainer import train_local

train_local(RunFolder(sys.argv[1]), TrainSettings(**json.loads(sys.argv[2])), print)
"""


def start(run: RunFolder, *, ray: bool) -> subprocess.Popen[bytes]:
    program = ["-m", "tests.steps.train.trainer"] if ray else ["-c", _LOCAL]
    settings = SETTINGS | ({"num_workers": 2} if ray else {})
    return subprocess.Popen(
        [sys.executable, *program, run.url, json.dumps(settings)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver, and see that what it has started is gone as well."""
    family = {driver.pid} | descendants(driver.pid)
    driver.kill()
    driver.wait()
    # Ray's processes end by themselves, two of them after a minute; those must now, for the test.
    deadline = time.monotonic() + 5
    while any(birth(pid) is not None for pid in family) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def checkpoints(run: RunFolder) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in Path(run.url, FOLDER).glob("*.pt")}


@pytest.mark.parametrize("ray", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_killed_training_ends_with_the_same_weights(tmp_path: Path, ray: bool) -> None:
    """Killed after the first checkpoint and after a later one; catches any state that is lost."""
    calm, killed = RunFolder(str(tmp_path / "calm")), RunFolder(str(tmp_path / "killed"))
    for run in (calm, killed):
        write_corpus(run, small_discs(12), pairs_per_file=5)
    assert start(calm, ray=ray).wait(200) == 0
    for _ in range(2):
        before = checkpoints(killed)
        driver = start(killed, ray=ray)
        deadline = time.monotonic() + 100
        while checkpoints(killed) == before and driver.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        assert driver.poll() is None, "it has finished"
        kill(driver)
    assert start(killed, ray=ray).wait(200) == 0
    assert killed.read_bytes(WEIGHTS) == calm.read_bytes(WEIGHTS)
    assert len(killed.read_json(HISTORY)) == 12
    assert not killed.names(FOLDER)
