"""Telling which processes of this machine still run, and which belong together."""

import contextlib
import os
from pathlib import Path


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
