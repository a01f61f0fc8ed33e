"""Which engine a run takes: settled once, on the nodes that will run it.

The driver decides nothing here: the head of a cluster has no GPU, and perhaps another processor or
no compiled engine.
"""

import socket
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iem_batch.errors import BackendUnavailableError
from iem_batch.exec.executor import EngineRoom
from iem_batch.exec.ray.cluster import missing
from iem_batch.exec.settings import ClusterSettings
from iem_batch.iem.backends import BACKENDS
from iem_batch.waiting import waiting
from iem_batch.words import count

_SHARE = 0.01
"""Of a GPU or CPU, for a look at a node that has one: it takes as little as can be asked for."""


@dataclass(frozen=True, kw_only=True)
class NodeEngines:
    """Which engines a node can run."""

    host: str
    unavailable: dict[str, str | None]
    """Backend -> why it cannot run there; None if it can."""

    @property
    def fastest(self) -> str:
        """Name the first engine that can run."""
        return next(name for name, reason in self.unavailable.items() if reason is None)


def engines_on_gpus(settings: ClusterSettings) -> bool:
    """Tell whether engine workers get a GPU each; `auto` looks at what the cluster has now."""
    if settings.device == "auto":
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        return resources.get("GPU", 0) > 0
    return settings.device == "gpu"


def resolve_on_cluster(settings: ClusterSettings) -> str:
    """Find the fastest backend of the nodes that can run engines; waits for the first such node.

    Raises:
        BackendUnavailableError: it is not the same on all of them, and one run has one engine.
    """
    kind: Literal["CPU", "GPU"] = "GPU" if engines_on_gpus(settings) else "CPU"
    share: dict[str, Any] = {"num_gpus": _SHARE} if kind == "GPU" else {"num_cpus": _SHARE}
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    present = [node for node in nodes if node["Alive"] and node["Resources"].get(kind, 0) > 0]
    look: Any = ray.remote(**{"num_cpus": 0, **share})(_look)
    looks = [
        look.options(
            name="find-engine",
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=True),
        ).remote()
        for node in present
    ]
    if not looks:
        looks = [look.options(name="find-engine").remote()]
    takes_share = kind == "GPU" or not present

    def lacks() -> str:
        share = missing(kind, _SHARE) if takes_share else None
        return share or f"the answer of {count(len(looks), 'node')}: which engines can run there"

    with waiting(lacks, "processors"):
        return common_engine(ray.get(looks))


def room_for_engines(settings: ClusterSettings) -> EngineRoom:
    """Tell how many engine workers a step would have now, and how many CPUs decode for each."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    num_cpus, num_gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    num_workers, cpus_per_gpu = max(1, min(settings.num_workers or num_cpus, num_cpus)), 0.0
    if engines_on_gpus(settings):
        # One CPU of each is the engine's own.
        cpus_per_gpu = max(1.0, num_cpus / num_gpus - 1) if num_gpus else 1.0
        num_workers = settings.num_workers or max(1, num_gpus)
    return EngineRoom(num_workers=num_workers, cpus_per_gpu=cpus_per_gpu, num_threads=1)


def _look() -> NodeEngines:
    return NodeEngines(
        host=socket.gethostname(),
        unavailable={name: backend.unavailable() for name, backend in BACKENDS.items()},
    )


def common_engine(nodes: list[NodeEngines]) -> str:
    """Give the engine that is the fastest one of every node."""
    by_engine = {node.fastest: node for node in nodes}
    if len(by_engine) == 1:
        return next(iter(by_engine))
    best = next(name for name in BACKENDS if name in by_engine)
    worse = next(node for node in nodes if node.fastest != best)
    raise BackendUnavailableError(
        f"the nodes of the cluster differ: {best} is the fastest engine on "
        f"{by_engine[best].host} and {worse.fastest} on {worse.host}, where {best} cannot run: "
        f"{worse.unavailable[best]}. One run has one engine: mend {worse.host}, or choose one that "
        f"all have, e.g. --segment.backend={worse.fastest}"
    )
