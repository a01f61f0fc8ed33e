"""Ray Train with two real workers, one of which dies."""

import os
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.distributed.train import train_ray
from iem_batch.errors import SettingsError
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import load_weights
from iem_batch.stages.train import TRAIN_FOLDER, train_local
from tests.stages.corpora import small_discs, write_corpus

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

SEGNET = SegNetSettings(width=8, num_blocks=1)
SETTINGS = TrainSettings(
    epochs=6,
    batch_size=5,
    images_per_pass=2,
    num_workers=2,
    precision="fp32",
    checkpoint_every_epochs=1,
)


@dataclass(frozen=True)
class DeadlyRun(RunFolder):
    """A run one of whose workers dies, once, when it has seen the third checkpoint.

    Each report waits until the one before was taken, so then the first checkpoint is known.
    """

    driver: int = field(default_factory=os.getpid)

    def open_table(self, name: str) -> AbstractContextManager[pq.ParquetFile]:
        if os.getpid() != self.driver:
            threading.Thread(target=self._die_after_the_third_checkpoint, daemon=True).start()
        return super().open_table(name)

    def _die_after_the_third_checkpoint(self) -> None:
        seen: set[Path] = set()
        while len(seen) < 3:
            time.sleep(0.01)
            seen |= set(Path(self.url, TRAIN_FOLDER).glob("*/checkpoint_*"))
        try:
            os.close(os.open(f"{self.url}/died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os._exit(1)


@pytest.fixture(autouse=True)
def _attentive_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at reports more often than every two seconds."""
    monkeypatch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")


def test_two_workers_one_of_which_dies_equal_one(tmp_path: Path) -> None:
    """Catches gradients not added up, shares weighted wrongly, and a resume that loses state."""
    run, alone = DeadlyRun(str(tmp_path / "run")), RunFolder(str(tmp_path / "alone"))
    calm = RunFolder(str(tmp_path / "calm"))
    for folder in (run, alone, calm):
        write_corpus(folder, small_discs(9), pairs_per_file=4)
    told: list[EpochRecord] = []
    history = train_ray(run, SEGNET, SETTINGS, told.append)
    expected = train_local(alone, SEGNET, SETTINGS, lambda record: None)
    assert run.exists("died")
    assert [record.epoch for record in history] == [1, 2, 3, 4, 5, 6]
    told_epochs = [record.epoch for record in told]
    assert set(told_epochs) == {1, 2, 3, 4, 5, 6}
    assert told_epochs.count(1) == 1, "the workers began again without a checkpoint"
    for ours, theirs in zip(history, expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-3)
    assert load_weights(run.read_bytes(run_folder.WEIGHTS), SEGNET).state_dict()
    assert not run.exists(TRAIN_FOLDER)
    assert train_ray(run, SEGNET, SETTINGS, pytest.fail) == history
    # With as many workers, an interruption changes no bit; one worker rounds its sums otherwise.
    train_ray(calm, SEGNET, SETTINGS, lambda record: None)
    assert run.read_bytes(run_folder.WEIGHTS) == calm.read_bytes(run_folder.WEIGHTS)


def test_corpus_that_cannot_be_learned_from_is_not_tried_again(tmp_path: Path) -> None:
    """Catches a worker's error reaching the user as a failure of Ray, after three retries."""
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, [])
    with pytest.raises(SettingsError, match="it has no pairs"):
        train_ray(run, SEGNET, replace(SETTINGS, num_workers=1), pytest.fail)


def test_more_workers_than_the_cluster_has(tmp_path: Path) -> None:
    """Catches waiting for CPUs that never come."""
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, small_discs(2))
    message = "training needs 3 workers, the Ray cluster has 2 CPUs now; lower train.num_w"
    with pytest.raises(SettingsError, match=message):
        train_ray(run, SEGNET, replace(SETTINGS, num_workers=3), pytest.fail)
