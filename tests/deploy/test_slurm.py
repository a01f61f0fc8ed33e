"""deploy/slurm.sbatch as Slurm would start it: a shell, and what Slurm says in the environment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed
from tests.pictures import textured_disc, write_folder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/slurm.sbatch"
SMALL = ["--decode.size_px=48", "--segment.init_shares=[0.33]", "--segment.backend=auto"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of seven shards of one picture each, and the programs that the script calls."""
    write_folder(tmp_path / "photos", [textured_disc(seed) for seed in range(7)])
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    for name, does in {
        "iem-batch": f'exec "{sys.executable}" -m iem_batch "$@"',
        "scontrol": f'echo "$@" >> "{tmp_path}/asked"',
    }.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    plan = [tmp_path / "bin/iem-batch", "plan", tmp_path / "photos", tmp_path / "run"]
    subprocess.run([*plan, "--shard-size=1"], check=True, cwd=ROOT)
    return tmp_path / "run"


def start(run: Path, task: int, *flags: str, tasks: int = 3) -> subprocess.Popen[str]:
    """Start a task of an array that begins with number 1."""
    slurm = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": str(task)}
    slurm |= {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": str(tasks)}
    path = {"PATH": f"{run.parent}/bin:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [run, "segment", run.parent / "photos", run, "--as-planned", *SMALL, *flags]
    return subprocess.Popen(
        ["bash", SCRIPT, *command],
        cwd=ROOT,
        env=os.environ | slurm | path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_tasks_of_an_array_do_a_step_together(run: Path) -> None:
    """Catches a shard that no task has, and a task of no shards that fails."""
    outputs = []
    for task, shards in ((1, {0, 1}), (2, {0, 1, 2, 3}), (3, set(range(7)))):
        process = start(run, task)
        outputs.append(process.communicate(timeout=200)[0])
        assert process.returncode == 0, outputs[-1]
        assert committed(RunFolder(str(run)), "segment") == shards
    assert "segment: 5 of 7 shards are left for other commands" in outputs[0]
    assert "segment: 7 images with masks" in outputs[2]
    none = start(run, 1, tasks=8)
    output, _ = none.communicate(timeout=200)
    assert (none.returncode, output.splitlines()[-1]) == (
        0,
        "there are more tasks than the 7 shards: nothing is left for this one",
    )


def test_before_its_wall_time_a_task_ends_and_is_queued_again(run: Path) -> None:
    """The signal goes to the shell alone, as Slurm sends it."""
    task = start(run, 1, "--iem.iterations=3000", "--segment.backend=torch", tasks=1)
    deadline = time.monotonic() + 200
    while not committed(RunFolder(str(run)), "segment"):
        assert task.poll() is None, task.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    task.send_signal(signal.SIGUSR1)
    output, _ = task.communicate(timeout=100)
    assert task.returncode == 0
    assert "iem-batch: terminated; what is done is kept" in output
    assert (run.parent / "asked").read_text() == "requeue 77_1\n"
    assert 0 < len(committed(RunFolder(str(run)), "segment")) < 7


def test_a_task_that_fails_fails(run: Path) -> None:
    task = start(run, 1, "--iem.iterations=-1")
    output, _ = task.communicate(timeout=100)
    assert task.returncode == 2, output
    assert not (run.parent / "asked").exists()
