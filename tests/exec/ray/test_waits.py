"""A person is told which processors are missing while another job has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from iem_batch.exec.ray.executor import RayExecutor
from iem_batch.exec.settings import ClusterSettings
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.settings import TrainSettings
from tests.exec.ray.doing import run_on_ray
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.poisoned import PoisonedStep
from tests.steps.train.trainer import train_ray
from tests.waits import hurried, once_said

__all__ = ["hurried"]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray", "hurried")]


class Other:
    """An actor of another job."""

    def ready(self) -> None:
        """Tell that it has what it asked for."""


@contextmanager
def held(num_cpus: float, kind: str) -> Iterator[None]:
    """Hold CPUs of the cluster until the wait for them has been said."""
    actor: Any = ray.remote(num_cpus=num_cpus)(Other).remote()
    ray.get(actor.ready.remote())
    with once_said(kind, lambda: ray.kill(actor)):
        yield


@pytest.mark.parametrize("num_cpus", [2, 1.25], ids=["none for engines", "none for loading"])
def test_shards(tmp_path: Path, num_cpus: float, capsys: pytest.CaptureFixture[str]) -> None:
    """With 1.25 of two taken an engine starts, and there is nobody to read for it."""
    step = PoisonedStep(RunFolder(str(tmp_path / "run")), tmp_path)
    with held(num_cpus, "shards"):
        marks = run_on_ray(step, range(2), ClusterSettings())
    assert sorted(mark.shard for mark in marks) == [0, 1]
    told = r"waiting for 1 CPU of the Ray cluster: 0(\.\d+)? of 2 are free"
    assert re.search(told, capsys.readouterr().err)


def test_a_sample_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    with RayExecutor(ClusterSettings()) as executor, held(2, "processors"):
        assert executor.call_beside_engine(lambda: "timed") == "timed"
    assert "waiting for 1 CPU of the Ray cluster: 0 of 2 are free" in capsys.readouterr().err


def test_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, small_discs(4))
    settings = TrainSettings(epochs=1, batch_size=2, images_per_pass=2, num_workers=2)
    with held(1, "workers"):
        (record,) = train_ray(run, settings, lambda record: None)
    assert record.epoch == 1
    assert "waiting for 2 CPUs of the Ray cluster: 1 of 2 are free" in capsys.readouterr().err


def test_which_engine_there_is_does_not_wait(capsys: pytest.CaptureFixture[str]) -> None:
    actor: Any = ray.remote(num_cpus=2)(Other).remote()
    ray.get(actor.ready.remote())
    with RayExecutor(ClusterSettings()) as executor:
        assert executor.fastest_engine()
    ray.kill(actor)
    assert "CPU" not in capsys.readouterr().err
