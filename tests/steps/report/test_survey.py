import numpy as np
import pytest

from iem_batch.errors import SettingsError
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.report.survey import AREA_BINS, ERROR_BINS, survey
from tests.steps.hand_made import SIZE, row, square, write_shard

MASK = square(0, 0, 4)


def write_run(folder, errors, shard_size):
    run = RunFolder(str(folder))
    rows = [row(f"{index:03d}.jpg", MASK, error=error) for index, error in enumerate(errors)]
    for shard, start in enumerate(range(0, len(rows), shard_size)):
        write_shard(run, "fuse", shard, rows[start : start + shard_size])
    return run


def look(run, cut=None, num_samples=3, seed=0):
    shards = sorted(committed(run, "fuse"))
    settings = ReportSettings(num_samples=num_samples, seed=seed)
    return survey(run, shards, cut, settings)


def ids(found, gallery):
    return [
        int(name.removesuffix(".jpg")) for name in found.samples[gallery]["image_id"].to_pylist()
    ]


@pytest.mark.parametrize("shard_size", [1, 3, 100])
def test_galleries_equal_sorting_everything(tmp_path, shard_size):
    """A heap that keeps the best of each shard must not depend on the sharding."""
    errors = np.random.default_rng(0).integers(0, 12, 20) / 10  # with ties
    found = look(write_run(tmp_path, errors, shard_size), cut=0.65)
    descending = sorted(range(20), key=lambda index: (-errors[index], index))
    assert ids(found, "best") == descending[:3]
    assert ids(found, "worst") == sorted(range(20), key=lambda index: (errors[index], index))[:3]
    inside = sorted((i for i in range(20) if errors[i] >= 0.65), key=lambda i: (errors[i], i))
    outside = sorted((i for i in range(20) if errors[i] < 0.65), key=lambda i: (-errors[i], i))
    assert ids(found, "inside") == inside[:2]
    assert ids(found, "outside") == outside[:2]
    assert ids(found, "median") == descending[8:11]
    assert len(set(ids(found, "random"))) == 3
    assert found.num_images == 20


def test_random_is_decided_by_the_seed(tmp_path):
    run = write_run(tmp_path, [0.5] * 30, 10)
    assert ids(look(run), "random") == ids(look(run), "random")
    assert ids(look(run), "random") != ids(look(run, seed=1), "random")


def test_counts(tmp_path):
    run = RunFolder(str(tmp_path))
    write_shard(run, "fuse", 0, [row("a.jpg", MASK, error=0.515), row("b.jpg", MASK, error=1.0)])
    empty, full = square(0, 0, 0), square(0, 0, SIZE)
    write_shard(run, "fuse", 1, [row("c.jpg", empty, error=0), row("d.jpg", full, error=0)])
    found = look(run)
    assert found.status == {"ok": 2, "empty": 1, "full": 1}
    # Undefined errors of 0 would make a bar of their own.
    assert np.flatnonzero(found.error).tolist() == [51, 100]
    assert ERROR_BINS[51] == 0.51
    assert ERROR_BINS[100] == 1
    areas = dict(zip(AREA_BINS[:-1], found.area, strict=True))
    assert {area: count for area, count in areas.items() if count} == {0: 1, 0.24: 2, 0.98: 1}
    assert set(found.samples["undefined"]["image_id"].to_pylist()) == {"c.jpg", "d.jpg"}
    assert set(found.samples["worst"]["image_id"].to_pylist()) == {"a.jpg", "b.jpg"}
    assert "inside" not in found.samples


def test_settings_are_checked():
    with pytest.raises(SettingsError, match=r"report\.num_samples is 51"):
        ReportSettings(num_samples=51)
    with pytest.raises(SettingsError, match=r"report\.seed is -1"):
        ReportSettings(seed=-1)
