"""How the work is spread over a Ray cluster; none of it changes a result."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Where Ray is, and how much of it to use."""

    address: str | None = None
    """Ray cluster to join, e.g. auto or ray://head:10001; None starts Ray on this machine, or joins
    the cluster the job was submitted to."""

    num_workers: int = 0
    """Engine workers; 0 is one per GPU, or one per CPU where there is no GPU."""

    shards_per_worker: int = 3
    """Shards in flight for each engine worker: one computed, the others decoded or written."""

    def __post_init__(self) -> None:
        if self.num_workers < 0:
            raise SettingsError(
                f"cluster.num_workers is {self.num_workers}; it must be 0 (automatic) or above"
            )
        if self.shards_per_worker < 1:
            raise SettingsError(
                f"cluster.shards_per_worker is {self.shards_per_worker}; it must be at least 1"
            )
