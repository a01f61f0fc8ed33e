"""A GPU that is lost under a worker: the process is of no use any more, the shard is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from iem_batch.errors import DeviceLostError
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import ShardOutput
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_marks
from tests.exec.ray.doing import run_on_ray
from tests.steps.poisoned import PoisonedStep

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


class LosingStep(PoisonedStep):
    """The first process to compute a certain shard fails at it, and at everything after it."""

    def open_engine(self, num_threads: int) -> Callable[[tuple[int, list[str], int]], ShardOutput]:
        compute = super().open_engine(num_threads)
        lost = False

        def on_a_gpu(loaded: tuple[int, list[str], int]) -> ShardOutput:
            nonlocal lost
            marker: Path = self.trouble / f"gpu-{loaded[0]}"
            if marker.exists():
                marker.unlink()
                lost = True
            if lost:
                raise DeviceLostError("the GPU was lost")
            return compute(loaded)

        return on_a_gpu


def test_another_worker_does_what_a_lost_gpu_left(tmp_path: Path) -> None:
    """Catches a worker that lives on with a dead GPU and fails all shards it is given."""
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    (trouble / "gpu-1").touch()
    step = LosingStep(RunFolder(str(tmp_path / "run")), trouble)
    settings = ClusterSettings(num_workers=1, shards_per_worker=2)
    marks = run_on_ray(step, range(8), settings)
    assert [mark.ok for mark in read_marks(step.run, "segment", range(8))] == [6] * 8
    assert not step.run.exists("_run/killers")
    assert sum(mark.attempts > 1 for mark in marks) <= 2
