import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import textured_disc, write_folder

pytestmark = pytest.mark.ray

QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


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
