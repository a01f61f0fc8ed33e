"""Joining or starting a Ray cluster."""

import logging
import math
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import grpc
import ray

from iem_batch.errors import BackendUnavailableError
from iem_batch.exec.settings import ClusterSettings
from iem_batch.words import count

CONNECT_TIMEOUT_S = 10.0

_ASK_FOR_ID = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""What every head answers, and nobody else."""

_ASKS_WHO = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
"""What a head says to whoever shows no token, as we do."""

WORKER_PROCESSES_PER_CPU = 3
"""Idle workers that Ray keeps for each CPU. By default it keeps one, and ends and starts the others
all the time, as our tasks need parts of a CPU: 185 images/s instead of 244 with shards of 64 images
on two CPUs."""


@contextmanager
def cluster(settings: ClusterSettings) -> Iterator[None]:
    """Join or start Ray for the time of the block; a cluster joined is left running.

    Raises:
        BackendUnavailableError: no cluster can be joined at the address, or none started.
    """
    if ray.is_initialized():
        yield
        return
    address, origin = _address(settings)
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
            runtime_env=_runtime_env(),
        )
    # Among them: no node of the cluster is here, other versions, another user's files; where a
    # node does not start in time it is no more than an Exception.
    except Exception as error:
        cause = " ".join(str(error).split())
        if address == "local":
            raise BackendUnavailableError(f"Ray cannot be started here: {cause}") from error
        raise _no_cluster(address, origin, cause) from error
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler of SIGTERM, a spot notice, prints a stack and loses the exit status.
        signal.signal(signal.SIGTERM, on_terminate)
    try:
        yield
    finally:
        ray.shutdown()


def has_cluster(settings: ClusterSettings) -> bool:
    """Tell whether `cluster` would find a cluster to join, not start one for this process alone."""
    return ray.is_initialized() or _address(settings)[0] != "local"


def missing(kind: Literal["CPU", "GPU"], needed: float) -> str | None:
    """Say which processors of the cluster are missing, for a person; None if enough are free."""
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    if free.get(kind, 0) >= needed:
        return None
    return (
        f"{count(math.ceil(needed), kind)} of the Ray cluster: "
        f"{free.get(kind, 0):g} of {total.get(kind, 0):g} are free"
    )


def _address(settings: ClusterSettings) -> tuple[str, str]:
    """Give the address of the cluster to join, or `local` to start one; and who named it.

    By itself Ray would join any cluster of this machine, also another command's, and end with it.
    """
    if settings.address is not None:
        return settings.address, "cluster.address"
    return os.environ.get("RAY_ADDRESS") or "local", "the environment variable RAY_ADDRESS"


def provide_home() -> None:
    """Give this process and its children a home, where a container's user has none.

    Without one neither Ray nor Ray Train starts, whether or not they would look into it.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()


def require_cluster(settings: ClusterSettings) -> None:
    """Check that the address is one to join by, if there is one, and that a Ray answers there.

    Ray itself would try for minutes.

    Raises:
        BackendUnavailableError: it is not, or none does.
    """
    address, origin = _address(settings)
    if address == "local":
        return
    scheme, separator, rest = address.partition("://")
    host, _, port = (rest if separator else address).rpartition(":")
    if separator:
        use = "`ray job submit`" if scheme in ("http", "https") else "Ray Client"
        cause = f"that is an address for {use}; give HOST:PORT of the head, e.g. {host}:6379"
        raise _no_cluster(address, origin, cause)
    # Ray refuses at once what has no port, but for auto; that it speaks TLS is rare.
    if not port.isdigit() or os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        try:
            channel.unary_unary(_ASK_FOR_ID)(b"", timeout=CONNECT_TIMEOUT_S)
        except grpc.RpcError as error:
            if error.code() not in _ASKS_WHO:
                cause = f"no Ray answers there: {error.details()}"
                raise _no_cluster(address, origin, cause) from error


def _no_cluster(address: str, origin: str, cause: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        f"no Ray cluster can be joined at {address}, which {origin} names: {cause}"
    )


def _runtime_env() -> dict[str, str] | None:
    """Say how to start workers, where Ray would fail for ever: it does not quote Python's path."""
    quoted = shlex.quote(sys.executable)
    return None if quoted == sys.executable else {"py_executable": quoted}
