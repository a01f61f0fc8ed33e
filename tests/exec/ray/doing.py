"""Doing shards of a step on the cluster that is joined."""

from collections.abc import Iterable
from typing import Any

from iem_batch.exec.ray.pipeline import run_on_cluster
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import ShardStep
from iem_batch.run.marks import Mark
from tests.steps.jobs import Told, work_of


def run_on_ray(
    step: ShardStep[Any], shards: Iterable[int], cluster: ClusterSettings, **limits: Any
) -> list[Mark]:
    """Do shards; gives their marks in the order in which they were committed.

    Raises:
        ShardsFailedError: some failed.
    """
    told = Told()
    run_on_cluster(work_of(step, **limits), shards, cluster, told)
    return told.marks
