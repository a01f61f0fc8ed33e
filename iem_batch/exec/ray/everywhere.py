"""Calling a function on every node of a cluster."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iem_batch.waiting import waiting

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[Result]):
    """What a node has answered."""

    host: str
    result: Result | None
    error: str
    """Why there is no result."""
    sent: float
    """When it was asked, in seconds since 1970 by the clock of this process."""
    received: float


def call_everywhere(
    function: Callable[..., Result], *arguments: Any, timeout_s: float
) -> list[Answer[Result]]:
    """Call a function on every node that is alive, all at once.

    Args:
        function: what to call.
        arguments: its arguments.
        timeout_s: seconds after which nodes that have not answered are given up.
    """
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    task: Any = ray.remote(num_cpus=0)(function)
    sent = time.time()
    asked = {
        task.options(
            name=function.__name__,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(*arguments): node["NodeManagerAddress"]
        for node in nodes
        if node["Alive"]
    }
    deadline = time.monotonic() + timeout_s
    found: list[Answer[Result]] = []
    with waiting(lambda: f"an answer of {', '.join(asked.values())}", "nodes"):
        while asked and (left := deadline - time.monotonic()) > 0:
            for ref in ray.wait(list(asked), num_returns=1, timeout=left)[0]:
                result, error = None, ""
                try:
                    result = ray.get(ref)
                except ray.exceptions.RayError as raised:
                    error = str(raised).strip().splitlines()[-1]
                host = asked.pop(ref)
                found.append(
                    Answer(host=host, result=result, error=error, sent=sent, received=time.time())
                )
    return found + [
        Answer(
            host=host,
            result=None,
            error=f"has not answered in {timeout_s:.0f} s",
            sent=sent,
            received=time.time(),
        )
        for host in asked.values()
    ]
