"""Telling whether a process of this machine still runs."""

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
