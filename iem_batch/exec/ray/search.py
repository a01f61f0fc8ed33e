"""The search for the masks of highest error, spread over the workers of a Ray cluster."""

import ray

from iem_batch.steps.topk.candidates import Candidates, Query, candidates, merge

SHARDS_PER_TASK = 64

FAN_IN = 8
"""Results that one task merges: each is k rows, so the driver receives but one of them."""


@ray.remote(num_cpus=1, max_retries=3)
def _candidates_task(query: Query, shards: range) -> Candidates:
    return candidates(query, shards, num_threads=1)


@ray.remote(num_cpus=1, max_retries=3)
def _merge_task(k: int, *parts: Candidates) -> Candidates:
    return merge(k, parts)


def search_on_cluster(query: Query, num_shards: int) -> Candidates:
    """Find the candidates of all shards, by tasks on the cluster that is joined.

    Args:
        query: what is asked; sent to every worker once.
        num_shards: shards of the run.
    """
    asked = ray.put(query)
    blocks = [
        range(start, min(start + SHARDS_PER_TASK, num_shards))
        for start in range(0, num_shards, SHARDS_PER_TASK)
    ]
    found = [_candidates_task.remote(asked, block) for block in blocks]
    while len(found) > 1:
        groups = [found[start : start + FAN_IN] for start in range(0, len(found), FAN_IN)]
        found = [_merge_task.remote(query.k, *group) for group in groups]
    result: Candidates = ray.get(found[0])
    return result
