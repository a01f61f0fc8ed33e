"""The command line as real processes, where terminals, pipes and users are not the usual ones."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.exec.ray.cluster import provide_home
from iem_batch.tools.doctor import examine
from tests.pictures import Picture, write_folder
from tests.test_cli import QUICK

ASCII = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}


def command(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "iem_batch", *map(str, arguments)],
        capture_output=True,
        env=os.environ | environment,
        check=False,
        timeout=200,
    )


def test_a_terminal_without_blocks(tmp_path: Path, pictures: Sequence[Picture]) -> None:
    """Catches a run that ends where the cut among the scores is drawn, or at an odd name."""
    write_folder(tmp_path / "photos", pictures)
    run = tmp_path / "run"
    main(["segment", str(tmp_path / "photos"), str(run), "--local", *QUICK])
    main(["fuse", str(run), "--local"])
    done = command("topk", run, "--local", **ASCII)
    assert done.returncode == 0, done.stderr
    assert b"####" in done.stdout
    assert done.stdout.isascii()
    done = command("topk", "/nowhere/nö\udcff", "--local", **ASCII)
    assert done.returncode == 1
    assert b"nowhere/n\\udcc3\\udcb6\\udcff" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_nobody_reads_on(tmp_path: Path, where: str) -> None:
    """`verify RUN | true`: catches the status of a bad run, and Python's complaint at its end."""
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["doctor"] if where == "stdout" else ["verify", str(tmp_path), "--local"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "iem_batch", *arguments],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {where: writer},
            timeout=100,
        )
    finally:
        os.close(writer)
    assert done.returncode == 141
    assert not done.stdout
    assert not done.stderr


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches Ray Train, which wants one as it is imported, hours after the start."""
    if os.geteuid() != 0:
        pytest.skip("becoming a user that nobody knows needs root")
    code = (
        "import os; os.setuid(54321); os.environ.pop('HOME')\n"
        "from iem_batch.tools.doctor import examine\n"
        "print([f.level for f in examine(None, None).findings if f.name == 'home'])\n"
        "from iem_batch.exec.ray.executor import RayExecutor\n"
        "from iem_batch.exec.settings import ClusterSettings\n"
        "with RayExecutor(ClusterSettings()):\n"
        "    import iem_batch.steps.train.on_ray\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['problem']\n"
    monkeypatch.setenv("HOME", str(tmp_path))
    provide_home()
    assert os.environ["HOME"] == str(tmp_path)


def test_doctor_tells_how_names_of_files_are_read() -> None:
    levels = {finding.name: finding.level for finding in examine(None, None).findings}
    assert (levels["home"], levels["file names"], levels["Python"]) == ("ok", "ok", "ok")
    done = command("doctor", **ASCII)
    assert done.returncode == 1
    assert b"NO  file names: names of files are read as ascii" in done.stdout
