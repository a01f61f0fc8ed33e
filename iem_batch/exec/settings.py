"""The settings of running steps; none of them changes a result."""

from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """What a shard may take, and what becomes of one that fails."""

    max_attempts: int = 3
    """How often a command tries a shard before it reports it as failed."""

    timeout_s: float | None = None
    """Seconds after which a phase of a shard (load, compute, write) is taken for hung and its
    worker is stopped, as if the shard had killed it; null waits for ever."""

    memory_mb: float | None = None
    """Memory a worker may take to decode one image, in MB; a shard with a larger image fails and
    says which. null is no limit but decode.max_pixels."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise SettingsError(
                f"limits.max_attempts is {self.max_attempts}; it must be at least 1"
            )
        for name in ("timeout_s", "memory_mb"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"limits.{name} is {value}; it must be above 0, or null")

    @property
    def memory_bytes(self) -> int | None:
        """The memory a worker may take, in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * 1e6)


Device = Literal["auto", "gpu", "cpu"]
"""What an engine worker has: a GPU, or a CPU."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Where Ray is, and how the work is spread over it."""

    address: str | None = None
    """Ray cluster to join, e.g. auto or ray://head:10001; None starts Ray on this machine, or joins
    the cluster the job was submitted to."""

    device: Device = "auto"
    """What an engine worker has: gpu or cpu; auto takes GPUs if the cluster has one when the step
    begins. Say gpu where the nodes come only when they are asked for."""

    num_workers: int = 0
    """Engine workers at most; 0 is one per GPU or CPU of the cluster, as nodes come and go."""

    shards_per_worker: int = 3
    """Shards in flight for each engine worker: one computed, the others decoded or written."""

    worker_price_per_hour: float = 0.0
    """Price of one engine worker for an hour, in any currency: its node's, by the workers on it."""

    head_price_per_hour: float = 0.0
    """Price of the head for an hour, in the same currency."""

    def __post_init__(self) -> None:
        if self.device not in get_args(Device):
            raise SettingsError(
                f"cluster.device is {self.device!r}; it must be one of "
                + ", ".join(get_args(Device))
            )
        for name in ("worker_price_per_hour", "head_price_per_hour"):
            if not getattr(self, name) >= 0:
                raise SettingsError(
                    f"cluster.{name} is {getattr(self, name)}; it must be 0 or above"
                )
        if self.num_workers < 0:
            raise SettingsError(
                f"cluster.num_workers is {self.num_workers}; it must be 0 (automatic) or above"
            )
        if self.shards_per_worker < 1:
            raise SettingsError(
                f"cluster.shards_per_worker is {self.shards_per_worker}; it must be at least 1"
            )
