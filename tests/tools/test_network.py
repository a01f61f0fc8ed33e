"""train and predict where something is not as it should be."""

import shutil
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.exec.journal import drivers
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.training import Training
from iem_batch.steps.train.local import train_here
from iem_batch.steps.train.work import EpochProgress, TrainWork
from tests.calling import Call
from tests.pictures import Picture, write_folder
from tests.test_cli import QUICK


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Path:
    """A run with predictions, of three shards."""
    root = tmp_path_factory.mktemp("network")
    write_folder(root / "pictures", pictures)
    main(["run", str(root / "pictures"), str(root / "run"), "--local", *QUICK])
    return root / "run"


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    return shutil.copytree(done, tmp_path / "run")


def test_fewer_labels_than_shards(run: Path, call: Call) -> None:
    """Catches labels that lose their first mask where ids are read for few rows of a shard."""
    assert call("topk", run, "-k", "2", "--local", "--overwrite")[0] == 0
    status, output, error = call("export", run, "--local")
    assert status == 0, error
    assert (
        sum(
            RunFolder(str(run)).read_table(f"export/{name}").num_rows
            for name in RunFolder(str(run)).names("export")
        )
        == 2
    )


def test_no_image_is_selected(run: Path, call: Call) -> None:
    """Catches the advice to export what has just been exported."""
    assert call("topk", run, "--topk.min_area=1", "--local", "--overwrite")[0] == 0
    assert call("export", run, "--local")[0] == 0
    status, _, error = call("train", run, "--local")
    assert status == 2
    assert "it has no pairs; select other images with `iem-batch topk`" in error


def test_training_at_work_is_seen(
    run: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Catches a corpus that is made anew below a training, which then leaves its weights there."""
    seen = []
    folder = RunFolder(str(run))

    def train(work: TrainWork, progress: EpochProgress) -> Training:
        while not seen:  # a thread writes it
            seen.extend(drivers(folder))
        status, _, error = call("topk", run, "-k", "3", "--local", "--overwrite")
        assert status == 1
        assert "is at work on it (train); stop that first" in error
        return train_here(work, progress)

    monkeypatch.setattr("iem_batch.steps.train.local.train_here", train)
    assert call("train", run, "--local", "--train.epochs=1", "--overwrite")[0] == 0
    assert [driver.step for driver in seen] == ["train"]
    assert not drivers(folder)


def test_predictions_outlive_weights_that_do_not_fit(run: Path, call: Call) -> None:
    """Catches sound predictions dropped before the weights are looked at."""
    before = (run / "predict/part-00000.parquet").read_bytes()
    config = (run / "_run/config.yaml").read_bytes()
    status, _, error = call("predict", run, "--local", "--segnet.width=8", "--overwrite")
    assert status == 2
    assert "weights.safetensors is of another network" in error
    weights = (run / "train/weights.safetensors").read_bytes()
    (run / "train/weights.safetensors").write_bytes(weights[:-9])
    status, _, error = call("predict", run, "--local", "--predict.threshold=0.4", "--overwrite")
    assert status == 1
    assert "weights.safetensors is truncated" in error
    assert (run / "predict/part-00000.parquet").read_bytes() == before
    assert (run / "_run/config.yaml").read_bytes() == config
    (run / "train/weights.safetensors").write_bytes(weights)
    assert call("predict", run, "--local")[0] == 0


def test_another_network(run: Path, call: Call) -> None:
    """`predict` takes the network from what `train` has stored."""
    chosen = ["--backbone", "tests.segnet.networks:Normed", "--overwrite"]
    assert call("train", run, "--local", *chosen)[0] == 0
    status, _, error = call("predict", run, "--local")
    assert status == 0, error
    assert "tests.segnet.networks:Normed" in (run / "_run/config.yaml").read_text()
    status, _, error = call("predict", run, "--local", "--segnet.backbone=null")
    assert status == 2
    assert "weights.safetensors is of another network" in error
