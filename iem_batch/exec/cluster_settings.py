"""How the work is spread over a Ray cluster; none of it changes a result."""

from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

Device = Literal["auto", "gpu", "cpu"]
"""What an engine worker has: a GPU, or a CPU."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Where Ray is, and how much of it to use."""

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
