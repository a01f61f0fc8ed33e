"""How the work is spread over a Ray cluster; none of it changes a result."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, at_least

Device = Literal["auto", "gpu", "cpu"]
"""What an engine worker has: a GPU, or a CPU."""


@dataclass(frozen=True, kw_only=True)
class ClusterSettings(Section, name="cluster"):
    """Where Ray is, and how much of it to use."""

    address: str | None = None
    """Ray cluster to join, e.g. auto or ray://head:10001; None starts Ray on this machine, or joins
    the cluster the job was submitted to."""

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
