"""How many engine workers there are, by what the cluster has; without a Ray."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError

from iem_batch.exec.attempts import Attempt
from iem_batch.exec.ray import workers as module
from iem_batch.exec.ray.workers import Workers
from iem_batch.exec.settings import ClusterSettings


class Actor:
    """Never answers, as one for which there is no node."""

    def __init__(self) -> None:
        self.node = self

    def remote(self) -> Any:
        return object()


class Cluster:
    """What Ray says of the cluster; time goes by between two looks at it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.resources: dict[str, float] = {}
        self.now = 0.0
        self.killed = 0
        monkeypatch.setattr(module.ray, "cluster_resources", lambda: self.resources)
        monkeypatch.setattr(module.ray, "kill", self.kill)
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)

    def kill(self, actor: Actor) -> None:
        self.killed += 1

    def count(self, workers: Workers, num_shards: int = 1000, **resources: float) -> int:
        self.now += 2 * module.REFRESH_S
        self.resources = resources
        workers.refresh(num_shards)
        return len(workers.answers)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_gpus_are_asked_for_before_they_are_there(cluster: Cluster) -> None:
    """Catches a run from no nodes that never makes the autoscaler start any."""
    workers = Workers(Actor, ClusterSettings(num_workers=32), gpus=True)
    assert cluster.count(workers) == 32
    assert cluster.count(workers, CPU=64, GPU=4) == 32
    assert cluster.count(Workers(Actor, ClusterSettings(), gpus=True)) == 1


def test_one_for_each_gpu_as_nodes_come(cluster: Cluster) -> None:
    workers = Workers(Actor, ClusterSettings(), gpus=True)
    assert [cluster.count(workers, CPU=8 * gpus, GPU=gpus) for gpus in (1, 2, 8)] == [1, 2, 8]


def test_cpu_workers_leave_room_to_load(cluster: Cluster) -> None:
    """Four workers of 0.75 CPUs on three would leave none to decode with, for ever."""
    workers = Workers(Actor, ClusterSettings(num_workers=4), gpus=False)
    assert cluster.count(workers) == 1
    assert cluster.count(workers, CPU=3) == 3
    assert cluster.count(workers, CPU=16) == 4


def test_no_more_workers_than_shards(cluster: Cluster) -> None:
    workers = Workers(Actor, ClusterSettings(), gpus=False)
    assert cluster.count(workers, num_shards=5, CPU=16) == 5


def test_those_without_a_node_go_when_nodes_go(cluster: Cluster) -> None:
    """Catches workers that wait for CPUs and then take those that loading needs."""
    workers = Workers(Actor, ClusterSettings(), gpus=False)
    assert cluster.count(workers, CPU=8) == 8
    assert cluster.count(workers, CPU=2) == 2
    assert cluster.killed == 6


def test_idle_workers_first_then_those_near_the_data(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a GPU that stands still beside one with a queue, and data sent about for nothing."""
    nodes = iter(["a", "a", "b"])
    monkeypatch.setattr(module.ray, "get", lambda answer: next(nodes))
    workers = Workers(Actor, ClusterSettings(shards_per_worker=2), gpus=True)
    cluster.count(workers, GPU=3)
    for answer in list(workers.answers):
        workers.answered(answer)
    given = []
    for _ in range(6):
        worker = workers.free(["b"])
        assert worker is not None
        worker.load += 1
        given.append(worker.node)
    assert given == ["b", "a", "a", "b", "a", "a"]
    assert workers.free(["b"]) is None


def test_what_nobody_could_reach_is_judged_by_its_end(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a shard blamed for a lost node by a write that tells of it after all others.

    tests/exec/ray/test_nodes.py sees it with real nodes, in about two runs of five.
    """
    told: list[str | RayActorError] = []

    def get(answer: Any) -> str:
        if isinstance(outcome := told.pop(0), RayActorError):
            raise outcome
        return outcome

    monkeypatch.setattr(module.ray, "get", get)
    monkeypatch.setattr(module, "ASK_AGAIN_S", 0)
    unreachable = ActorUnavailableError("refused", b"\0" * 16)  # type: ignore[no-untyped-call]
    died = ActorDiedError()  # type: ignore[no-untyped-call]
    workers = Workers(Actor, ClusterSettings(), gpus=False)
    cluster.count(workers, CPU=1)
    (worker,) = workers.answers.values()
    first, second, late = (Attempt(shard=shard, number=1, alone=False) for shard in range(3))

    def ask(outcome: str | RayActorError) -> list[tuple[Attempt, Any]]:
        told.append(outcome)
        (answer,) = workers.answers
        return workers.answered(answer)

    assert ask("node") == []
    assert workers.lost(worker, first, unreachable) is None
    assert ask(unreachable) == []
    assert workers.lost(worker, second, died) is died, "it says itself what it was"
    assert ask(died) == [(first, died)]
    assert workers.lost(worker, late, unreachable) is died
    assert workers.answers == {}
