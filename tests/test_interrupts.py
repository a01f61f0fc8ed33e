"""Signals to real processes of the command line, on Ray and without."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iem_batch.processes import birth, descendants
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from iem_batch.run.marks import committed
from tests.pictures import textured_disc, write_folder
from tests.steps.corpora import small_discs, write_corpus

QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
SLOW = ["--iem.iterations=40", "--decode.size_px=64", "--segment.init_shares=[0.625]"]
NUM_SHARDS = 30


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Give children the usual SIGINT: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    code = "from iem_batch.cli import main; main()"
    arguments = ["segment", str(tmp_path / "pictures"), str(tmp_path / "run"), *options]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--plan.shard_size=1", "--segment.backend=torch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | QUIET,
    )


def wait_until(
    condition: Callable[[], bool], process: subprocess.Popen[str], timeout_s: float = 120
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    write_folder(tmp_path / "pictures", [textured_disc(seed) for seed in range(NUM_SHARDS)])
    return RunFolder(str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_leaves_a_run_to_go_on_with(
    run: RunFolder, tmp_path: Path, number: signal.Signals, status: int, word: str
) -> None:
    """Catches one status for all, a traceback, and a command that looks as if it were at work."""
    process = start(tmp_path, "--local", *SLOW)
    wait_until(lambda: len(committed(run, "segment")) > 1, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert output.splitlines()[-1] == (
        f"iem-batch: {word}; what is done is kept, run the same command again to do the rest"
    )
    assert "Traceback" not in output
    assert not run.exists("_SUCCESS")
    assert not run.names(layout.DRIVERS)
    process = start(tmp_path, "--local")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert f"of {NUM_SHARDS} shards were done before" in output
    assert f"segment: {NUM_SHARDS} images with masks" in output


def test_a_second_signal_ends_at_once(run: RunFolder, tmp_path: Path) -> None:
    """Catches a command that tidies up against a store that does not answer, for ever."""
    code = (
        "import time\n"
        "from iem_batch.interrupts import raising_interrupts\n"
        "with raising_interrupts():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally:\n"
        "        print('tidying', flush=True)\n"
        "        time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "tidying\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert error.endswith("iem-batch: ended at once; run the same command again to do the rest\n")


@pytest.mark.ray
@pytest.mark.parametrize(
    ("signals", "status"),
    [([signal.SIGTERM], 143), ([signal.SIGINT] * 2, 130)],
    ids=["SIGTERM", "twice"],
)
def test_nothing_of_our_own_ray_is_left(
    run: RunFolder, tmp_path: Path, signals: list[signal.Signals], status: int
) -> None:
    """Catches workers that go on computing, and a raylet that holds memory, when nobody waits."""
    process = start(tmp_path, "--cluster.num_workers=1", *SLOW)
    wait_until(lambda: len(committed(run, "segment")) > 0, process)
    theirs = descendants(process.pid)
    assert len(theirs) > 3
    for number in signals:
        process.send_signal(number)
        time.sleep(0.1)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert "Traceback" not in output
    deadline = time.monotonic() + 30
    while left := [pid for pid in theirs if birth(pid) is not None]:
        assert time.monotonic() < deadline, [name_of(pid) for pid in left]
        time.sleep(0.2)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_a_training_on_ray(
    tmp_path: Path, number: signal.Signals, status: int, word: str
) -> None:
    """Catches the status of the other: Ray Train takes signals for itself, and raises its own."""
    run = RunFolder(str(tmp_path / "run"))
    adopt(run, "run")
    write_corpus(run, small_discs(12))
    settings = ["--segnet.width=8", "--segnet.num_blocks=1", "--train.num_workers=1"]
    settings += ["--train.epochs=2000", "--train.batch_size=4", "--train.images_per_pass=2"]
    code = "from iem_batch.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "train", run.url, "--train.checkpoint_every_epochs=1"]
        + settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | QUIET,
    )
    wait_until(lambda: bool(run.names("_run/train")), process, timeout_s=1000)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == status, output
    assert output.splitlines()[-1].startswith(f"iem-batch: {word}; what is done is kept")
    assert "Traceback" not in output
    assert run.names("_run/train"), "the checkpoint to go on from"
    assert not run.names(layout.DRIVERS)


def test_while_the_program_is_still_imported() -> None:
    """Catches the traceback of an import, which takes the first half of a second."""
    code = """
import os, signal, sys
import iem_batch.__main__ as program

class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == "iem_batch.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting)
program.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "iem-batch: interrupted\n")
