"""Joining or starting a Ray cluster."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from iem_batch.errors import BackendUnavailableError
from iem_batch.exec.settings import ClusterSettings

CONNECT_TIMEOUT_S = 10.0

WORKER_PROCESSES_PER_CPU = 3
"""Idle workers that Ray keeps for each CPU. By default it keeps one, and ends and starts the others
all the time, as our tasks need parts of a CPU: 185 images/s instead of 244 with shards of 64 images
on two CPUs."""


@contextmanager
def cluster(settings: ClusterSettings) -> Iterator[None]:
    """Join or start Ray for the time of the block; a cluster joined is left running.

    Raises:
        BackendUnavailableError: there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    if settings.address is not None:
        _require_listener(settings.address)
    # By itself Ray would join any cluster of this machine, also another command's, and end with it.
    address = settings.address or os.environ.get("RAY_ADDRESS") or "local"
    # Ray's usage report needs the internet; a job must not wait for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    num_processes = WORKER_PROCESSES_PER_CPU * (os.cpu_count() or 1)
    os.environ.setdefault("RAY_num_workers_soft_limit", str(num_processes))
    # The errors of tasks are looked at where their results are; Ray prints those of other outputs.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            logging_level=logging.ERROR,
            # What workers print is in Ray's logs; here it would tear the progress bar, and most
            # of it is Ray talking about itself. Errors arrive as exceptions.
            log_to_driver=False,
        )
    except ConnectionError as error:
        raise BackendUnavailableError(
            f"there is no Ray cluster at {settings.address}: {error}"
        ) from error
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler of SIGTERM, a spot notice, prints a stack and loses the exit status.
        signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield
    finally:
        ray.shutdown()


def has_cluster(settings: ClusterSettings) -> bool:
    """Tell whether `cluster` would find a cluster to join, not start one for this process alone."""
    return ray.is_initialized() or bool(settings.address or os.environ.get("RAY_ADDRESS"))


def _require_listener(address: str) -> None:
    """Look whether anyone listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # auto, local
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise BackendUnavailableError(f"there is no Ray cluster at {address}: {error}") from error
