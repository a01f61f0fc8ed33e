import numpy as np
import pytest

from iem_batch.errors import SettingsError
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.report.survey import survey
from iem_batch.steps.topk.labels import Labels
from iem_batch.steps.topk.scores import SCORES
from tests.steps.hand_made import SIZE, row, square, write_shard

MASK = square(0, 0, 4)


def write_run(folder, errors, shard_size):
    run = RunFolder(str(folder))
    rows = [
        row(f"{index:03d}.jpg", MASK if error else square(0, 0, 0), error=error)
        for index, error in enumerate(errors)
    ]
    for shard, start in enumerate(range(0, len(rows), shard_size)):
        write_shard(run, "fuse", shard, rows[start : start + shard_size])
    return run


def look(run, num_photos=3, num_samples=3, seed=0):
    settings = ReportSettings(num_photos=num_photos, num_samples=num_samples, seed=seed)
    labels = Labels(place=run, step="fuse")
    return survey(labels, sorted(committed(run, "fuse")), SCORES["error"], settings)


def ids(table):
    return [int(name.removesuffix(".jpg")) for name in table["image_id"].to_pylist()]


@pytest.mark.parametrize("shard_size", [1, 3, 100])
@pytest.mark.parametrize("num_photos", [1, 3, 19, 20, 99])
def test_list_equals_sorting_everything(tmp_path, shard_size, num_photos):
    """What is dropped on the way must not depend on the sharding."""
    errors = np.random.default_rng(0).integers(1, 12, 20) / 10  # with ties
    errors[[4, 11]] = 0  # undefined, so they come last
    found = look(write_run(tmp_path, errors, shard_size), num_photos=num_photos)
    assert ids(found.listed) == sorted(range(20), key=lambda i: (-errors[i], i))[:num_photos]
    assert found.listed["score"].to_pylist() == [errors[i] for i in ids(found.listed)]
    assert [i // shard_size for i in ids(found.listed)] == found.listed["shard"].to_pylist()
    assert len(set(ids(found.sample))) == 3
    assert found.num_images == 20


def test_random_is_decided_by_the_seed(tmp_path):
    run = write_run(tmp_path, [0.5] * 30, 10)
    assert ids(look(run).sample) == ids(look(run).sample)
    assert ids(look(run).sample) != ids(look(run, seed=1).sample)


def test_counts(tmp_path):
    run = RunFolder(str(tmp_path))
    write_shard(run, "fuse", 0, [row("a.jpg", MASK, error=0.515), row("b.jpg", MASK, error=1.0)])
    empty, full = square(0, 0, 0), square(0, 0, SIZE)
    write_shard(run, "fuse", 1, [row("c.jpg", empty, error=0), row("d.jpg", full, error=0)])
    found = look(run)
    assert found.status == {"ok": 2, "empty": 1, "full": 1}
    # Undefined scores of 0 would make a bar of their own.
    assert np.flatnonzero(found.histogram).tolist() == [51, 100]
    assert found.listed["image_id"].to_pylist() == ["b.jpg", "a.jpg", "c.jpg"]


def test_settings_are_checked():
    with pytest.raises(SettingsError, match=r"report\.num_samples is 51"):
        ReportSettings(num_samples=51)
    with pytest.raises(SettingsError, match=r"report\.seed is -1"):
        ReportSettings(seed=-1)
