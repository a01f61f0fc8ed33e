"""Disks that are full, read-only or closed, and a source that is gone, to real processes."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import checksums, write_pictures
from iem_batch.run.folder import RunFolder

Command = Callable[..., subprocess.CompletedProcess[str]]
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pictures", 12)
    return tmp_path / "pictures"


@pytest.fixture
def segment(source: Path) -> Command:
    """Does the step on the pictures, in a run folder."""

    def call(run: Path, *options: str, **how: Any) -> subprocess.CompletedProcess[str]:
        code = "from iem_batch.cli import main; main()"
        settings = ["--plan.shard_size=2", "--decode.size_px=48", "--iem.iterations=2"]
        settings += ["--segment.init_shares=[0.33]", "--segment.backend=auto", "--local"]
        return subprocess.run(
            [sys.executable, "-c", code, "segment", str(source), str(run), *settings, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            **how,
        )

    return call


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 KiB; `mount -o remount,...` changes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def assert_one_clear_end(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1, done.stdout
    assert words in done.stdout
    assert "Traceback" not in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.startswith("iem-batch: ")]) == 1


def assert_whole(segment: Command, run: Path, tmp_path: Path) -> None:
    """Resume, and compare with a run that had no trouble."""
    done = segment(run)
    assert done.returncode == 0, done.stdout
    assert segment(tmp_path / "whole").returncode == 0
    assert checksums(RunFolder(str(run))) == checksums(RunFolder(str(tmp_path / "whole")))


def test_full_disk(segment: Command, small_disk: Path, tmp_path: Path) -> None:
    """Catches half-written files that count, and a run that cannot go on when there is room."""
    run = small_disk / "run"
    done = segment(run)
    assert_one_clear_end(done, "No space left on device")
    assert not (run / "_SUCCESS").exists()
    remount(small_disk, "size=8m")
    assert_whole(segment, run, tmp_path)


def test_read_only_disk(segment: Command, small_disk: Path, tmp_path: Path) -> None:
    remount(small_disk, "size=8m")
    run = small_disk / "run"
    assert segment(run, "--plan.limit=3").returncode == 0
    (run / "_run/stats/segment/part-00001.json").unlink()
    remount(small_disk, "ro")
    assert_one_clear_end(segment(run, "--plan.limit=3"), "Read-only file system")
    remount(small_disk, "rw")
    assert segment(run, "--plan.limit=3").returncode == 0


def obey_permissions() -> None:
    """Take from a process of root's, before it starts its program, the right to go anywhere."""
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability)


@pytest.mark.skipif(sys.platform != "linux", reason="takes rights from root as Linux does")
def test_folder_that_may_not_be_written(segment: Command, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    done = segment(closed / "run", preexec_fn=obey_permissions)
    assert_one_clear_end(done, "Permission denied")
    closed.chmod(0o755)
    assert_whole(segment, closed / "run", tmp_path)


def test_source_that_is_gone(segment: Command, source: Path, tmp_path: Path) -> None:
    """Planned, then unmounted: an empty folder, or none. Nothing may be quarantined for it."""
    run = tmp_path / "run"
    assert segment(run).returncode == 0
    for shard in (1, 2):
        (run / f"_run/stats/segment/part-0000{shard}.json").unlink()
    source.rename(tmp_path / "elsewhere")
    assert_one_clear_end(segment(run), "does not exist")
    source.mkdir()
    assert_one_clear_end(segment(run), "gone or empty")
    plan = (run / "_run/plan.json").read_bytes()
    assert_one_clear_end(segment(run, "--extend"), "gone or empty")
    assert (run / "_run/plan.json").read_bytes() == plan
    source.rmdir()
    (tmp_path / "elsewhere").rename(source)
    assert_whole(segment, run, tmp_path)
