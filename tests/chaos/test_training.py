"""A training that is killed and begun again ends with the weights of one that was not."""

import os
import subprocess
import sys
import time
from pathlib import Path

from iem_batch.data.run_folder import HISTORY, WEIGHTS, RunFolder
from iem_batch.stages.train import TRAIN_FOLDER
from tests.stages.corpora import small_discs, write_corpus

_CODE = """
import sys
from iem_batch.data.run_folder import RunFolder
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.stages.train import train_local

settings = TrainSettings(
    epochs=12, batch_size=4, images_per_pass=2, precision="fp32", checkpoint_every_epochs=2
)
train_local(RunFolder(sys.argv[1]), SegNetSettings(width=8, num_blocks=1), settings, print)
"""


def start(run: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, run.url],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def checkpoints(run: RunFolder) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns for path in Path(run.url, TRAIN_FOLDER).glob("*/checkpoint*")
    }


def test_killed_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    """Killed after the first checkpoint and after a later one; catches any state that is lost."""
    calm, killed = RunFolder(str(tmp_path / "calm")), RunFolder(str(tmp_path / "killed"))
    for run in (calm, killed):
        write_corpus(run, small_discs(12))
    assert start(calm).wait(120) == 0
    for _ in range(2):
        before = checkpoints(killed)
        process = start(killed)
        deadline = time.monotonic() + 60
        while checkpoints(killed) == before and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.wait()
    assert start(killed).wait(120) == 0
    assert killed.read_bytes(WEIGHTS) == calm.read_bytes(WEIGHTS)
    assert len(killed.read_json(HISTORY)) == 12
    assert not killed.exists(TRAIN_FOLDER)
