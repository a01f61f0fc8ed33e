"""Telling which processes of this machine still run, and which belong together."""

import contextlib
import functools
import hashlib
import os
import socket
from pathlib import Path


def num_cpus() -> int:
    """Count the processors this process may use, of which Slurm gives a job some alone.

    Not every system can say that; then all count.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def machine() -> str:
    """Name where the pids of this process count, in eight characters.

    Containers may share a host name, and two of them the pids too; a name may come again after a
    start of the machine. So the start and the namespace of pids belong to it, where there are any.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text()]
        parts += [os.readlink("/proc/self/ns/pid")]
    # A hash, because names of hosts may be long and hold what separates the parts of a name.
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def birth(pid: int) -> str | None:
    """Tell when a process began, as the machine counts; a later one of the same pid differs.

    Returns:
        None if there is no such process or it has ended, "" if it runs and nobody knows since when.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it lives, and is another user's
        pass
    try:
        # The name, in brackets, may hold spaces; the state is field 3, the start field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # In a container without an init, nobody takes away what is left of a process that was killed.
    has_ended = fields[0] in "ZX"
    return None if has_ended else fields[19]


def descendants(pid: int) -> set[int]:
    """Find all processes below one, by the process table; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            # The name, in brackets, may hold spaces; the fourth field is the parent.
            parent = int(file.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(file.parent.name))
    found: set[int] = set()
    ahead = [pid]
    while ahead:
        below = children.get(ahead.pop(), [])
        found.update(below)
        ahead += below
    return found
