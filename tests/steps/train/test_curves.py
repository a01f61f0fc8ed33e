from pathlib import Path

import pytest

from iem_batch.segnet.training import EpochRecord
from iem_batch.steps.train import layout
from iem_batch.steps.train.curves import event_file

HISTORY = [
    EpochRecord(epoch=1, loss=0.75, iou=0.25, foreground=0.5, seconds=2.0),
    EpochRecord(epoch=2, loss=0.5, iou=0.625, foreground=0.375, seconds=4.0),
    EpochRecord(epoch=3, loss=0.25, iou=0.75, foreground=0.3125, seconds=1.0),
]


@pytest.mark.filterwarnings("ignore")  # the reader's own
def test_tensorboard_reads_every_epoch_once(tmp_path: Path) -> None:
    """Written after two epochs and again after three, as when a training was resumed."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    file = tmp_path / Path(layout.CURVES).name
    file.write_bytes(event_file(HISTORY[:2]))
    file.write_bytes(event_file(HISTORY))
    reader = accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    assert reader.Tags()["scalars"] == ["loss", "iou", "foreground", "seconds"]
    for tag in reader.Tags()["scalars"]:
        found = [(event.step, event.value) for event in reader.Scalars(tag)]
        assert found == [(record.epoch, getattr(record, tag)) for record in HISTORY]
    assert [event.wall_time for event in reader.Scalars("loss")] == [2, 6, 7]


def test_an_earlier_file_is_the_beginning_of_a_later_one() -> None:
    """Catches bytes that depend on the time or the host: a reader goes on where it has stopped."""
    assert event_file(HISTORY).startswith(event_file(HISTORY[:2]))
