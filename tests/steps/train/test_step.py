from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from iem_batch.errors import (
    RunMismatchError,
    SettingsError,
    StepMissingError,
)
from iem_batch.exec.local import LocalExecutor
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import mark, record, summary
from iem_batch.run.marks import require_summary
from iem_batch.segnet import collapse
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import load_weights
from iem_batch.steps.train import layout
from iem_batch.steps.train.curves import event_file
from iem_batch.steps.train.step import build, epoch_line
from tests.steps.corpora import small_discs, with_mask, write_corpus, write_corpus_file
from tests.steps.train.trainer import FOLDER, SEGNET, train_local, training_job

SETTINGS = TrainSettings(
    epochs=6, batch_size=4, images_per_pass=2, precision="fp32", checkpoint_every_epochs=2
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run with a corpus of seven pairs in two files."""
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, small_discs(7), pairs_per_file=4)
    return run


def ignore(record: EpochRecord) -> None:
    pass


def train_until(run: RunFolder, epoch: int, settings: TrainSettings = SETTINGS) -> None:
    """Train, and die when an epoch is done, before anything is written after it."""

    def die(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train_local(run, settings, die)


@pytest.mark.parametrize("value", [False, True])
def test_corpus_of_one_sided_masks(tmp_path: Path, value: bool) -> None:
    """Catches hours of training that can only end in a constant."""
    run = RunFolder(str(tmp_path))
    write_corpus(run, [with_mask(disc, np.full((24, 32), value)) for disc in small_discs(2)])
    with pytest.raises(SettingsError, match="2 pairs, whose masks are all empty or full"):
        train_local(run, SETTINGS, ignore)


def test_one_mask_with_two_sides_is_enough(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    discs = small_discs(3)
    full = [with_mask(disc, np.full((24, 32), True)) for disc in discs[:2]]
    write_corpus(run, [*full, discs[2]], pairs_per_file=1)
    assert len(train_local(run, replace(SETTINGS, epochs=1), ignore)) == 1


def test_corpus_without_pairs(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, [])
    with pytest.raises(SettingsError, match="it has no pairs; select other images"):
        train_local(run, SETTINGS, ignore)


def test_corpus_that_lacks_selected_pairs(run: RunFolder) -> None:
    """Catches training on the part that an interrupted export has left."""
    run.delete(mark("export", 1))
    write_corpus_file(run, 0, small_discs(4))
    with pytest.raises(StepMissingError, match="has 4 of the 7 selected pairs"):
        train_local(run, SETTINGS, ignore)


def test_checkpoints_of_a_finished_training_are_cleared(run: RunFolder) -> None:
    """Catches those that stay for ever where a kill came between the weights and their removal."""
    history = train_local(run, SETTINGS, ignore)
    key = require_summary(run, "train").facts["key"]
    run.write_bytes(layout.checkpoint(key), b"left over")
    assert train_local(run, SETTINGS, pytest.fail) == history
    assert run.names(FOLDER) == []


def test_no_corpus(run: RunFolder) -> None:
    run.delete(summary("export"), record("export"))
    with pytest.raises(StepMissingError, match="train needs .*export"):
        train_local(run, SETTINGS, ignore)


def test_leaves_weights_and_history(run: RunFolder) -> None:
    told: list[EpochRecord] = []
    history = train_local(run, SETTINGS, told.append)
    assert told == history
    assert [record["epoch"] for record in run.read_json(layout.HISTORY)] == [1, 2, 3, 4, 5, 6]
    assert history[-1].loss < history[0].loss
    assert load_weights(run.read_bytes(layout.WEIGHTS), SEGNET).state_dict()
    assert run.names(FOLDER) == []
    assert run.read_bytes(layout.CURVES) == event_file(history)


def test_a_collapse_is_told_before_the_epoch_is_over(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch; catches a collapse that only the record of its epoch tells of."""
    monkeypatch.setattr(collapse, "WATCHED_STEPS", 1)
    monkeypatch.setattr(collapse, "collapsed_to", lambda foreground: "background")
    told: list[EpochRecord | Collapse] = []
    train_local(run, replace(SETTINGS, epochs=1), told.append)
    assert told[0] == Collapse(epoch=1, step=1, side="background")
    assert isinstance(told[1], EpochRecord)
    assert len(told) == 2


def test_the_curves_of_a_training_so_far_are_there(run: RunFolder) -> None:
    """Catches curves that appear only when the training is over."""
    train_until(run, epoch=3)
    early = run.read_bytes(layout.CURVES)
    history = train_local(run, SETTINGS, ignore)
    assert early == event_file(history[:2])
    assert run.read_bytes(layout.CURVES) == event_file(history)


def test_interrupted_training_ends_with_the_same_weights(run: RunFolder, tmp_path: Path) -> None:
    """Catches an epoch left out or done twice, and state missing from the checkpoint."""
    undisturbed = RunFolder(str(tmp_path / "undisturbed"))
    write_corpus(undisturbed, small_discs(7), pairs_per_file=4)
    expected = train_local(undisturbed, SETTINGS, ignore)
    train_until(run, epoch=3)
    train_until(run, epoch=5)
    again: list[int] = []
    history = train_local(run, SETTINGS, lambda record: again.append(record.epoch))
    assert again == [5, 6]
    assert [record.loss for record in history] == [record.loss for record in expected]
    assert run.read_bytes(layout.WEIGHTS) == undisturbed.read_bytes(layout.WEIGHTS)


def test_corpus_of_one_image(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(1))
    history = train_local(run, SETTINGS, ignore)
    assert history[-1].loss < history[0].loss


def test_a_corpus_larger_than_the_cache_gives_the_same_weights(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches pairs taken from a place that another window has been read into meanwhile."""
    settings = replace(SETTINGS, shuffle_images=2)
    train_local(run, settings, ignore)
    bounded = RunFolder(str(tmp_path / "bounded"))
    write_corpus(bounded, small_discs(7), pairs_per_file=4)
    monkeypatch.setattr("iem_batch.steps.train.cache._MB", 5 * (24 * 32 * 25 // 8 + 4))
    train_local(bounded, replace(settings, cache_mb=1), ignore)
    assert run.read_bytes(layout.WEIGHTS) == bounded.read_bytes(layout.WEIGHTS)


def test_a_cache_too_small_is_refused(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iem_batch.steps.train.cache._MB", 1000)
    with pytest.raises(SettingsError, match="train.cache_mb is 1, .* lower train.shuffle_images"):
        train_local(run, replace(SETTINGS, cache_mb=1), ignore)


def test_other_settings_do_not_resume(run: RunFolder) -> None:
    """Catches weights that are half of one training and half of another."""
    train_until(run, epoch=5)
    epochs: list[int] = []
    other = replace(SETTINGS, learning_rate=1e-2)
    with pytest.raises(RunMismatchError, match="train.learning_rate: 0.001 before, 0.01 now"):
        train_local(run, other, pytest.fail)
    train_local(run, other, lambda record: epochs.append(record.epoch), overwrite=True)
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_another_corpus_does_not_resume(run: RunFolder) -> None:
    train_until(run, epoch=5)
    discs = small_discs(8)
    write_corpus_file(run, 1, [*discs[4:6], discs[7]])
    epochs: list[int] = []
    with pytest.raises(RunMismatchError, match="corpus: "):
        train_local(run, SETTINGS, pytest.fail)
    train_local(run, SETTINGS, lambda record: epochs.append(record.epoch), overwrite=True)
    assert epochs == [1, 2, 3, 4, 5, 6]


def test_finished_training_is_not_repeated(run: RunFolder) -> None:
    history = train_local(run, SETTINGS, ignore)
    weights = run.read_bytes(layout.WEIGHTS)
    assert train_local(run, SETTINGS, pytest.fail) == history
    assert run.read_bytes(layout.WEIGHTS) == weights


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_damaged_checkpoint(
    run: RunFolder, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    """Catches a run that a power cut has made untrainable, one that goes on with half a network,
    and beginning again in silence: it costs the time of the epochs done."""
    train_until(run, epoch=3)
    (checkpoint,) = Path(run.url, FOLDER).iterdir()
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    epochs: list[int] = []
    history = train_local(run, SETTINGS, lambda record: epochs.append(record.epoch))
    assert epochs == [record.epoch for record in history] == [1, 2, 3, 4, 5, 6]
    told = capsys.readouterr().err
    assert "train: the training checkpoint is damaged" in told
    assert f"{checkpoint}; training begins again" in told


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"checkpoint_every_epochs": 1}, True),
        ({"cache_mb": 1}, True),
        ({"shuffle_images": 3}, False),
        ({"seed": 1}, False),
        ({"num_workers": 2}, False),
        ({"precision": "bf16"}, False),
    ],
)
def test_depends_on_what_changes_the_weights(
    run: RunFolder, change: dict[str, Any], same: bool
) -> None:
    before, after = (
        build(training_job(run, settings, LocalExecutor())).depends_on
        for settings in (SETTINGS, replace(SETTINGS, **change))
    )
    assert (after == before) == same


def test_line_of_an_epoch() -> None:
    record = EpochRecord(epoch=3, loss=0.25, iou=0.7, foreground=0.3, seconds=12.34)
    assert epoch_line(record, 50) == (
        "train: epoch 3/50, loss 0.2500, IoU with the labels 0.700, 12.3 s"
    )
    collapsed = replace(record, foreground=0.9999)
    assert "WARNING: nearly every pixel is predicted foreground" in epoch_line(collapsed, 50)
    early = epoch_line(Collapse(epoch=1, step=100, side="background"), 50)
    assert early.startswith(
        "train: epoch 1/50, step 100; WARNING: nearly every pixel is predicted b"
    )
