"""The settings of running steps; none of them changes a result."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, above, at_least


@dataclass(frozen=True, kw_only=True)
class LimitSettings(Section, name="limits"):
    """What a shard may take, and what becomes of one that fails."""

    max_attempts: Annotated[int, at_least(1)] = 3
    """How often a command tries a shard before it reports it as failed."""

    timeout_s: Annotated[float, above(0)] | None = None
    """Seconds after which a phase of a shard (load, compute, write) is taken for hung and its
    worker is stopped, as if the shard had killed it; null waits for ever."""

    memory_mb: Annotated[float, above(0)] | None = None
    """Memory a worker may take to decode one image, in MB; a shard with a larger image fails and
    says which. null: decode.max_pixels is the only limit."""

    @property
    def memory_bytes(self) -> int | None:
        """The memory a worker may take, in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * 1e6)


@dataclass(frozen=True, kw_only=True)
class HookSettings(Section, name="hooks"):
    """Who is told what a run has come to."""

    call: tuple[str, ...] = ()
    """Functions, "package.module:function", that the command calls with a name and a dict: when a
    step ends with its title and sums, and after each epoch of a training with train/epoch and its
    losses. One that fails is a line on standard error."""


Device = Literal["auto", "gpu", "cpu"]
"""What an engine worker has: a GPU, or a CPU."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings(Section, name="cluster"):
    """Where Ray is, and how the work is spread over it."""

    address: str | None = None
    """Ray cluster to join, HOST:PORT of its head or auto, from one of its nodes; None joins the one
    that RAY_ADDRESS names, as in a job submitted, or starts Ray on this machine."""

    device: Device = "auto"
    """What an engine worker has: gpu or cpu; auto takes GPUs if the cluster has one when the step
    begins. Say gpu where the nodes come only when they are asked for."""

    num_workers: Annotated[int, at_least(0)] = 0
    """Engine workers at most; 0 is one per GPU or CPU of the cluster, as nodes come and go."""

    shards_per_worker: Annotated[int, at_least(1)] = 3
    """Shards in flight for each engine worker: one computed, the others decoded or written."""

    worker_price_per_hour: Annotated[float, at_least(0)] = 0.0
    """Price of one engine worker for an hour, in any currency: its node's, by the workers on it."""

    head_price_per_hour: Annotated[float, at_least(0)] = 0.0
    """Price of the head for an hour, in the same currency."""
