import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import textured_disc, write_folder

pytestmark = pytest.mark.ray

QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Give children the usual SIGINT: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[str]:
    code = "from iem_batch.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | QUIET,
        **options,  # type: ignore[call-overload]
    )


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    """Catches a job that waits for ever, or that starts a Ray of its own instead."""
    write_folder(tmp_path / "pictures", [textured_disc(0)])
    process = start(
        "segment", tmp_path / "pictures", tmp_path / "run", "--cluster.address=127.0.0.1:1"
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "there is no Ray cluster at 127.0.0.1:1" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_spot_notice_leaves_a_run_to_go_on_with(tmp_path: Path, number: signal.Signals) -> None:
    """Catches an exit status of 0, a stack of Ray's, or a run that cannot be resumed."""
    write_folder(tmp_path / "pictures", [textured_disc(seed) for seed in range(40)])
    segment = ("segment", tmp_path / "pictures", tmp_path / "run", "--segment.backend=torch")
    quick = (
        "--plan.shard_size=1",
        "--decode.size_px=64",
        "--iem.iterations=100",
        "--segment.init_sides=[40]",
    )
    process = start(*segment, *quick)
    marks = tmp_path / "run/_run/stats/masks"
    while process.poll() is None and not (marks.exists() and len(list(marks.iterdir())) > 2):
        time.sleep(0.1)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.endswith("interrupted; run the same command again to do the rest\n")
    assert not (tmp_path / "run/_SUCCESS").exists()
    process = start(*segment, "--local", "--iem.iterations=100")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert "40 shards were done before" in output
    assert "segment: 40 images with masks" in output
