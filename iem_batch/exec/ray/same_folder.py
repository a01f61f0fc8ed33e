"""Whether a path is the same folder on all nodes of a cluster, and which node an error is of."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from iem_batch.errors import SourceError, StorageError
from iem_batch.exec.ray.everywhere import call_everywhere
from iem_batch.run import layout
from iem_batch.run.deletion import delete_leniently
from iem_batch.run.folder import RunFolder

TIMEOUT_S = 60.0
"""For a node to answer; one that does not says nothing about its disks."""


def require_same_folder(run: RunFolder) -> None:
    """Check that every node finds in the run folder what this process writes there.

    Raises:
        StorageError: one does not; what it would write would lie on a disk of its own.
    """
    if num_nodes() < 2:
        return
    missing = nodes_without(run, "_run/")
    if missing:
        node, reason = next(iter(missing.items()))
        raise StorageError(
            f"{run.url} is not the same folder on {node} as on {socket.gethostname()}, where the "
            f"command is ({reason}); give one that all nodes share, or a URL such as s3://..."
        )


def nodes_without(folder: RunFolder, prefix: str = "") -> dict[str, str]:
    """Find the nodes that do not see a file which this process writes into a folder.

    Args:
        folder: the folder.
        prefix: where in it.

    Returns:
        Name and address of a node -> what it sees instead.
    """
    name, written = f"{prefix}.same-{uuid.uuid4().hex}", os.urandom(16)
    folder.write_bytes(name, written)
    try:
        answers = call_everywhere(_look, folder.url, name, written, timeout_s=TIMEOUT_S)
    finally:
        delete_leniently(folder, name)
    seen = [(answer.host, answer.result) for answer in answers if answer.result is not None]
    return {f"{host} ({address})": reason for address, (host, reason) in seen if reason}


def _look(url: str, name: str, written: bytes) -> tuple[str, str]:
    """Give the name of this node, and why it does not see the file; empty if it does."""
    reason = "it does not find what the command has written"
    try:
        if RunFolder(url).read_bytes(name) == written:
            reason = ""
    except FileNotFoundError:
        pass
    except StorageError as error:
        reason = str(error)
    return socket.gethostname(), reason


@contextmanager
def on_this_node(run: RunFolder) -> Iterator[None]:
    """Work on a shard in a worker: only where the run is, and errors of storage name the node.

    Nodes join after `require_same_folder` has looked.

    Raises:
        StorageError: the run is not here, or as raised in the block.
        SourceError: as raised in the block.
    """
    try:
        if run.is_local and not run.exists(layout.DRIVERS):
            raise StorageError(f"{run.url} is not here; give a folder that all nodes share")
        yield
    except (SourceError, StorageError) as error:
        if num_nodes() > 1:
            error.args = (f"{error} (on {socket.gethostname()})",)
        raise


def num_nodes() -> int:
    """Count the nodes that are alive."""
    return sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
