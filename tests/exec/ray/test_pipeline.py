from pathlib import Path

import pytest

from iem_batch.errors import SettingsError, ShardsFailedError
from iem_batch.exec.settings import ClusterSettings, LimitSettings
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import read_killers
from iem_batch.run.marks import add_up, committed, read_failures, read_mark, read_marks
from iem_batch.steps.registry import up_to
from tests.exec.ray.doing import run_on_ray
from tests.steps.jobs import run_in_process
from tests.steps.poisoned import PoisonedStep

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

SETTINGS = ClusterSettings(num_workers=2, shards_per_worker=2)


@pytest.fixture
def step(tmp_path: Path) -> PoisonedStep:
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    return PoisonedStep(RunFolder(str(tmp_path / "run")), trouble)


def test_equals_the_run_in_one_process(step: PoisonedStep, tmp_path: Path) -> None:
    """Catches an output under the name of another shard, and a shard left out or done twice."""
    seen = run_on_ray(step, range(9), SETTINGS)
    assert sorted(mark.shard for mark in seen) == list(range(9))
    alone = PoisonedStep(RunFolder(str(tmp_path / "alone")), step.trouble)
    run_in_process(alone, range(9))
    digests = [
        add_up(each.run, "segment", range(9), each.summarize).outputs_digest
        for each in (step, alone)
    ]
    assert digests[0] == digests[1]
    assert not step.run.names(layout.DRIVERS)


def test_a_shard_that_fails_once_is_tried_again(step: PoisonedStep) -> None:
    (step.trouble / "flaky-2.0").touch()
    run_on_ray(step, range(4), SETTINGS)
    marks = list(read_marks(step.run, "segment", range(4)))
    assert [mark.attempts for mark in marks] == [1, 1, 2, 1]


@pytest.mark.parametrize("kind", ["once", "engineonce"])
def test_a_killed_worker_costs_nothing_but_time(step: PoisonedStep, kind: str) -> None:
    """In a load task and in an actor, whose other shards are lost with it."""
    (step.trouble / f"{kind}-1.3").touch()
    run_on_ray(step, range(6), SETTINGS)
    assert [mark.ok for mark in read_marks(step.run, "segment", range(6))] == [6] * 6
    assert not step.run.exists("_run/killers")


def test_images_that_kill_their_worker_are_named_and_all_else_done(step: PoisonedStep) -> None:
    """Catches neighbours in the shard or in the worker's queue that are lost or blamed."""
    for trouble in ("segfault-1.3", "engine-4.0"):
        (step.trouble / trouble).touch()
    run_on_ray(step, range(6), SETTINGS)
    marks = list(read_marks(step.run, "segment", range(6)))
    assert [mark.ok for mark in marks] == [6, 5, 6, 6, 5, 6]
    assert marks[1].attempts == marks[4].attempts == 2
    killers = {key for shard in range(6) for key in read_killers(step.run, up_to("segment"), shard)}
    assert killers == {"1.3", "4.0"}


def test_a_worker_that_hangs_is_stopped_and_its_shard_done(step: PoisonedStep) -> None:
    (step.trouble / "hangonce-2.5").touch()
    run_on_ray(step, range(4), SETTINGS, timeout_s=10)
    marks = list(read_marks(step.run, "segment", range(4)))
    assert [mark.ok for mark in marks] == [6] * 4
    assert [mark.attempts for mark in marks] == [1, 1, 2, 1]


def test_a_shard_that_always_fails_is_reported_and_the_rest_done(step: PoisonedStep) -> None:
    """Catches a run that ends well although a shard is missing."""
    (step.trouble / "error-3.1").touch()
    with pytest.raises(ShardsFailedError, match=r"shard 3: StorageError: no route to 3\.1"):
        run_on_ray(step, range(6), SETTINGS)
    assert committed(step.run, "segment") == {0, 1, 2, 4, 5}
    assert read_failures(step.run, "segment")[3].attempts == 3
    (step.trouble / "error-3.1").unlink()
    run_on_ray(step, [3], SETTINGS)
    assert committed(step.run, "segment") == set(range(6))
    assert read_mark(step.run, "segment", 3).attempts == 4
    assert not step.run.exists(layout.failure("segment", 3))


def test_when_everything_fails_the_run_ends_early(step: PoisonedStep) -> None:
    """Catches hours of retries against a store that is gone."""
    for shard in range(100):
        (step.trouble / f"error-{shard}.0").touch()
    with pytest.raises(ShardsFailedError) as failed:
        run_on_ray(step, range(100), SETTINGS)
    assert str(failed.value).startswith("3 shards of segment failed")


def test_nothing_to_do_needs_no_worker(step: PoisonedStep) -> None:
    run_on_ray(step, [], SETTINGS)
    assert committed(step.run, "segment") == set()
    assert not step.run.exists(layout.part("segment", 0))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"cluster.shards_per_worker is 0; it must be at least"):
        ClusterSettings(shards_per_worker=0)
    with pytest.raises(SettingsError, match=r"limits.max_attempts is 0; it must be at least 1"):
        LimitSettings(max_attempts=0)
    with pytest.raises(SettingsError, match=r"limits.timeout_s is 0.0; it must be above 0"):
        LimitSettings(timeout_s=0.0)
