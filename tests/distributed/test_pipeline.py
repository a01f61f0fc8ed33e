import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from iem_batch.data.run_folder import RunFolder, part
from iem_batch.distributed.pipeline import run_on_cluster
from iem_batch.distributed.settings import ClusterSettings
from iem_batch.errors import SettingsError, ShardsFailedError, StorageError
from iem_batch.stages.shards import ShardOutput, outputs_digest, run_in_process

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

SETTINGS = ClusterSettings(num_workers=2, shards_per_worker=2)


@dataclass(frozen=True)
class SquareStep:
    """Squares the number of the shard; the files in `trouble` say what else happens, once."""

    run: RunFolder
    trouble: Path
    name: str = "masks"

    def load(self, shard: int) -> int:
        if (self.trouble / f"unloadable-{shard}").exists():
            raise StorageError(f"no route to shard {shard}")
        flaky = self.trouble / f"flaky-{shard}"
        if flaky.exists():
            flaky.unlink()
            raise StorageError(f"slow down, shard {shard}")
        return shard

    def open_engine(self, num_threads: int) -> Callable[[int], ShardOutput]:
        def compute(shard: int) -> ShardOutput:
            killer = self.trouble / f"killer-{shard}"
            if killer.exists():
                killer.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            tables = {part(self.name, shard): pa.table({"square": [shard * shard]})}
            return ShardOutput(shard=shard, tables=tables, planned=1, ok=1, quarantined=0)

        return compute


@pytest.fixture
def step(tmp_path: Path) -> SquareStep:
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    return SquareStep(RunFolder(str(tmp_path / "run")), trouble)


def ignore(mark: dict[str, Any]) -> None:
    pass


def test_equals_the_run_in_one_process(step: SquareStep, tmp_path: Path) -> None:
    """Catches an output under the name of another shard, and a shard left out or done twice."""
    seen: list[int] = []
    run_on_cluster(step, range(9), SETTINGS, lambda mark: seen.append(mark["shard"]))
    assert sorted(seen) == list(range(9))
    alone = SquareStep(RunFolder(str(tmp_path / "alone")), step.trouble)
    run_in_process(alone, range(9), ignore)
    assert outputs_digest(step.run, "masks", 9) == outputs_digest(alone.run, "masks", 9)


def test_a_shard_that_fails_once_is_tried_again(step: SquareStep) -> None:
    (step.trouble / "flaky-2").touch()
    run_on_cluster(step, range(4), SETTINGS, ignore)
    assert step.run.committed("masks") == {0, 1, 2, 3}


def test_a_killed_worker_costs_nothing_but_time(step: SquareStep) -> None:
    (step.trouble / "killer-1").touch()
    run_on_cluster(step, range(6), SETTINGS, ignore)
    assert step.run.committed("masks") == set(range(6))


def test_a_shard_that_always_fails_is_reported_and_the_rest_done(step: SquareStep) -> None:
    """Catches a run that ends well although a shard is missing."""
    (step.trouble / "unloadable-3").touch()
    with pytest.raises(ShardsFailedError, match="shard 3: StorageError: no route to shard 3"):
        run_on_cluster(step, range(6), SETTINGS, ignore)
    assert step.run.committed("masks") == {0, 1, 2, 4, 5}
    (step.trouble / "unloadable-3").unlink()
    run_on_cluster(step, [3], SETTINGS, ignore)
    assert step.run.committed("masks") == set(range(6))


def test_when_everything_fails_the_run_ends_early(step: SquareStep) -> None:
    """Catches hours of retries against a store that is gone."""
    for shard in range(100):
        (step.trouble / f"unloadable-{shard}").touch()
    with pytest.raises(ShardsFailedError) as failed:
        run_on_cluster(step, range(100), SETTINGS, ignore)
    assert str(failed.value).startswith("3 shards of masks failed")


def test_nothing_to_do_needs_no_worker(step: SquareStep) -> None:
    run_on_cluster(step, [], SETTINGS, ignore)
    assert step.run.committed("masks") == set()


@pytest.mark.parametrize("name", ["shards_per_worker", "max_attempts"])
def test_bad_settings_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=f"cluster.{name} is 0; it must be at least 1"):
        ClusterSettings(**{name: 0})  # type: ignore[arg-type]
