"""The doctor on every node of a cluster."""

import time
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iem_batch.tools.doctor import Examination, Finding, differences, examine

TIMEOUT_S = 120.0
MAX_SKEW_S = 5.0
"""Clocks may differ by so much; object stores refuse requests that differ by minutes."""


def examine_nodes(run: str | None, source: str | None) -> tuple[list[Examination], list[Finding]]:
    """Examine every node of the cluster that has been joined, and compare them.

    Args:
        run: as for `iem_batch.tools.doctor.examine`.
        source: likewise.

    Returns:
        What was found on the nodes, by host; what concerns all of them.
    """
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    task: Any = ray.remote(num_cpus=0)(examine)
    sent = time.time()
    asked = {
        task.options(
            name="doctor",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(run, source): node["NodeManagerAddress"]
        for node in nodes
        if node["Alive"]
    }
    deadline = time.monotonic() + TIMEOUT_S
    found: list[Examination] = []
    common: list[Finding] = []
    while asked and (left := deadline - time.monotonic()) > 0:
        for answer in ray.wait(list(asked), num_returns=1, timeout=left)[0]:
            host = asked.pop(answer)
            try:
                examination: Examination = ray.get(answer)
            except ray.exceptions.RayError as error:
                detail = f"{host} cannot be examined: {str(error).strip().splitlines()[-1]}"
                common.append(Finding(name="nodes", level="problem", detail=detail))
                continue
            found.append(examination)
            common += clock_problems(examination, sent, time.time())
    for host in asked.values():
        detail = f"{host} has not answered in {TIMEOUT_S:.0f} s"
        common.append(Finding(name="nodes", level="problem", detail=detail))
    return sorted(found, key=lambda each: each.host), common + differences(found)


def clock_problems(examination: Examination, sent: float, received: float) -> list[Finding]:
    """Compare a node's clock with ours.

    Args:
        examination: what the node has found, with its time.
        sent: ours, before it was asked.
        received: ours, when it had answered; it lies at least as far off as what is reported.
    """
    skew = max(sent - examination.clock, examination.clock - received)
    if skew <= MAX_SKEW_S:
        return []
    detail = f"the clock of {examination.host} is wrong by at least {skew:.0f} s"
    return [Finding(name="clock", level="problem", detail=detail, cure="run chrony on every node")]
