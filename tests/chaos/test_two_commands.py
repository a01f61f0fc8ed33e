"""Two commands at work on one run at the same time, as real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chaos import checksums, write_pictures
from iem_batch.config import Settings
from iem_batch.exec.local import LocalExecutor
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_marks
from iem_batch.tools.verify import check

SETTINGS = (
    *("--plan.shard_size=1", "--decode.size_px=48", "--segment.init_shares=[0.33]", "--local"),
    "--segment.backend=auto",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", 24)
    return tmp_path / "pictures"


@pytest.fixture
def commands() -> Iterator[list[subprocess.Popen[str]]]:
    """Those that a test has started; none outlives it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(source: Path, run: Path, *options: str) -> subprocess.Popen[str]:
    code = "from iem_batch.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "segment", str(source), str(run), *SETTINGS, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_the_same_command_twice_at_once_does_no_harm(
    source: Path, tmp_path: Path, commands: list[subprocess.Popen[str]]
) -> None:
    """Catches files of one that the other deletes, cuts off, or takes for its own."""
    run, alone = tmp_path / "run", tmp_path / "alone"
    commands += [start(source, run, "--iem.iterations=20") for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in commands]
    assert [process.returncode for process in commands] == [0, 0], outputs
    commands.append(start(source, alone, "--iem.iterations=20"))
    assert commands[-1].wait(120) == 0
    assert checksums(RunFolder(str(run))) == checksums(RunFolder(str(alone)))
    job = Job(run=RunFolder(str(run)), settings=Settings(), executor=LocalExecutor())
    assert check(job, None).findings.lines() == []
    assert not job.run.names(layout.DRIVERS)
    assert not list(run.rglob(".*.tmp"))


@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_two_commands_with_different_settings_do_not_mix(
    source: Path, tmp_path: Path, commands: list[subprocess.Popen[str]], pause_s: float
) -> None:
    """Catches a run that looks whole, half of whose shards were made with other settings."""
    run = tmp_path / "run"
    for iterations in (10, 11):
        commands.append(start(source, run, f"--iem.iterations={iterations}"))
        time.sleep(pause_s)
    outputs = [process.communicate(timeout=120)[0] for process in commands]
    statuses = [process.returncode for process in commands]
    assert sorted(statuses) == [0, 1], outputs
    refused = outputs[statuses.index(1)]
    assert "segment was begun with other settings:\n  iem.iterations: 1" in refused
    assert "Traceback" not in refused
    folder = RunFolder(str(run))
    marks = read_marks(folder, "segment", sorted(committed(folder, "segment")))
    assert len({mark.settings_digest for mark in marks}) == 1


def test_a_run_that_another_command_is_at_work_on_is_not_overwritten(
    source: Path, tmp_path: Path, commands: list[subprocess.Popen[str]]
) -> None:
    """Catches masks that vanish under a command that lives; a dead one hinders nobody."""
    run = tmp_path / "run"
    first = start(source, run, "--iem.iterations=400", "--segment.backend=torch")
    commands.append(first)
    deadline = time.monotonic() + 60
    while not committed(RunFolder(str(run)), "segment"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    first.send_signal(signal.SIGSTOP)
    second = start(source, run, "--iem.iterations=5", "--overwrite")
    commands.append(second)
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"process {first.pid} on " in output
    assert "is at work on it (segment); stop that first" in output
    first.kill()
    first.wait()
    third = start(source, run, "--iem.iterations=5", "--overwrite")
    commands.append(third)
    output, _ = third.communicate(timeout=60)
    assert third.returncode == 0, output
