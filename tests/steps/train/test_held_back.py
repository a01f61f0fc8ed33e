"""Labels that are held back decide which weights are kept and when training stops."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from safetensors.torch import load

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.segnet import training
from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.stopping import Patience
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.validation import Agreement
from iem_batch.steps.train import layout
from iem_batch.steps.train.curves import event_file
from iem_batch.steps.train.step import epoch_line
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.train.trainer import FOLDER, train_local

SETTINGS = TrainSettings(
    epochs=8,
    patience=3,
    batch_size=4,
    images_per_pass=2,
    precision="fp32",
    checkpoint_every_epochs=2,
)
SCORES = [0.2, 0.5, 0.6, 0.5, 0.6, 0.4, 0.3, 0.9]
"""The third epoch is the best; the fifth is no better, and the eighth comes too late."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def ignore(record: EpochRecord) -> None:
    pass


def corpus(tmp_path: Path, name: str, num_held_back: int = 3) -> RunFolder:
    """A run with a corpus of seven pairs, and others held back."""
    run = RunFolder(str(tmp_path / name))
    discs = small_discs(7 + num_held_back)
    write_corpus(run, discs[:7], pairs_per_file=4, held_back=discs[7:])
    return run


def score(monkeypatch: pytest.MonkeyPatch, first: int = 1) -> None:
    """Give epochs the scores above, whatever the network predicts."""
    epochs = count(first)
    agreement = lambda *_: Agreement(loss=1.0, iou=SCORES[next(epochs) - 1])  # noqa: E731
    monkeypatch.setattr(training, "validate", agreement)


def weights(run: RunFolder) -> dict[str, list[float]]:
    """Read the numbers; what the file says besides tells of what was held back."""
    found = load(run.read_bytes(layout.WEIGHTS))
    return {name: tensor.flatten().tolist() for name, tensor in found.items()}


def test_stops_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third of them by hand: three epochs with nothing held back give its weights."""
    alone = corpus(tmp_path, "alone", 0)
    train_local(alone, replace(SETTINGS, epochs=3), ignore)
    run = corpus(tmp_path, "run")
    score(monkeypatch)
    history = train_local(run, SETTINGS, ignore)
    assert [record.val_iou for record in history] == SCORES[:6]
    assert weights(run) == weights(alone)
    facts = require_summary(run, "train").facts
    assert (facts["epochs"], facts["result"]["epoch"]) == (6, 3)
    assert facts["learned"]["agreement"] == 0.6
    assert facts["learned"]["num_labels"] == 10
    assert facts["learned"]["num_held_back"] == 3
    assert facts["verdict"].startswith("10 labels are too few: SegNet agrees with 60 % of the 3")


def test_killed_after_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint after epoch 4 has the weights of the third; catches those of the fourth."""
    run, calm = corpus(tmp_path, "run"), corpus(tmp_path, "calm")
    score(monkeypatch)
    train_local(calm, SETTINGS, ignore)

    def die(record: EpochRecord) -> None:
        if record.epoch == 5:
            raise ConnectionAbortedError

    score(monkeypatch)
    with pytest.raises(ConnectionAbortedError):
        train_local(run, SETTINGS, die)
    score(monkeypatch, first=5)
    history = train_local(run, SETTINGS, ignore)
    assert len(history) == 6
    assert run.read_bytes(layout.WEIGHTS) == calm.read_bytes(layout.WEIGHTS)
    assert run.names(FOLDER) == []


@pytest.mark.parametrize(
    ("patience", "epochs", "best"), [(1, 4, 3), (5, 8, 8), (None, 8, 8), ("auto", 8, 8)]
)
def test_patience(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    patience: Patience,
    epochs: int,
    best: int,
) -> None:
    """None looks at no score, and keeps the last; so does auto, with three held back."""
    run = corpus(tmp_path, "run")
    score(monkeypatch)
    history = train_local(run, replace(SETTINGS, patience=patience), ignore)
    assert len(history) == epochs
    assert require_summary(run, "train").facts["result"]["epoch"] == best


def test_without_patience_what_is_held_back_decides_nothing(tmp_path: Path) -> None:
    settings = replace(SETTINGS, patience=None, average_decay=0.0)
    run, alone = corpus(tmp_path, "run"), corpus(tmp_path, "alone", 0)
    history = train_local(run, settings, ignore)
    assert [record.val_iou for record in train_local(alone, settings, ignore)] == [None] * 8
    assert all(record.val_iou is not None for record in history)
    assert weights(run) == weights(alone)


def test_the_same_bits_after_an_interruption(tmp_path: Path) -> None:
    """With real scores, which are stored with each epoch and drawn as curves."""
    run, calm = corpus(tmp_path, "run"), corpus(tmp_path, "calm")

    def die(record: EpochRecord) -> None:
        if record.epoch == 3:
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        train_local(run, SETTINGS, die)
    ours, theirs = (train_local(place, SETTINGS, ignore) for place in (run, calm))
    assert [(a.val_loss, a.val_iou) for a in ours] == [(a.val_loss, a.val_iou) for a in theirs]
    assert run.read_bytes(layout.WEIGHTS) == calm.read_bytes(layout.WEIGHTS)
    assert b"val_iou" in event_file(ours)


def test_line_of_an_epoch() -> None:
    record = EpochRecord(
        epoch=3,
        loss=0.25,
        iou=0.7,
        foreground=0.3,
        seconds=12.34,
        val_loss=0.31,
        val_iou=0.65,
    )
    assert epoch_line(record, 50) == (
        "train: epoch 3/50, loss 0.2500, IoU with the labels 0.700, "
        "held-back loss 0.3100, IoU 0.650, 12.3 s"
    )
