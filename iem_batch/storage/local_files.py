"""Reading and writing local files whole, and deleting what a killed process has left of a write."""

import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from iem_batch.errors import StorageError, TooLargeError
from iem_batch.processes import birth, machine

SECONDS_TO_WRITE = 600.0
"""A hidden file of another machine that is untouched for so long is taken for abandoned."""

_HIDDEN = re.compile(r"\..*\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp", re.DOTALL)


def read_file(path: str, max_bytes: int) -> bytes:
    """Read a regular file; a pipe or a device, which may never end, is not opened.

    Raises:
        FileNotFoundError: there is no such file.
        TooLargeError: it has more than `max_bytes`.
        StorageError: it is not a regular file, or cannot be read.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise StorageError(f"{path} is not a file")
        if status.st_size > max_bytes:
            raise TooLargeError(f"{path} has {status.st_size} bytes, more than {max_bytes}")
        with open(path, "rb") as file:
            return file.read(max_bytes)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def replace_file(path: str, data: bytes) -> None:
    """Write a file; it appears complete or not at all.

    Raises:
        OSError: it could not be written; what was there before is untouched.
    """
    _write_hidden(path, data, os.replace)


def create_file(path: str, data: bytes) -> None:
    """Write a file that is not there yet; of two processes at once only one does.

    Raises:
        FileExistsError: it is there.
        OSError: it could not be written.
    """
    _write_hidden(path, data, _rename_unless_there)


def _rename_unless_there(hidden: str, path: str) -> None:
    try:
        os.link(hidden, path)  # unlike a rename, it takes nobody's place
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.replace(hidden, path)
    else:
        os.unlink(hidden)


def _write_hidden(path: str, data: bytes, rename: Callable[[str, str], None]) -> None:
    """Write a file under a hidden name beside the final one, then rename it.

    The hidden file lies in the same folder because only there is a rename sure to be atomic. It is
    made by `os.open` so that its permissions follow the umask, and its name says whose it is.
    """
    folder, base = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    writer = f"{machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    hidden = os.path.join(folder, f".{base}.{writer}.tmp")
    try:
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the name without the bytes
        rename(hidden, path)
    except BaseException:
        if os.path.lexists(hidden):
            os.unlink(hidden)
        raise


def is_unfinished_write(base: str) -> bool:
    """Tell a hidden file, which has not got its final name, by its base name."""
    return base.startswith(".") and base.endswith(".tmp")


def holds_only_a_write_of(folder: str, name: str) -> bool:
    """Tell whether all there is in a folder is a file below it that has not got its final name."""
    parent, base = os.path.split(name)
    found = (
        os.path.relpath(os.path.join(at, each), folder)
        for at, folders, files in os.walk(folder)
        for each in (*folders, *files)
    )
    hidden = re.compile(re.escape(f"{parent}/.{base}.") + r"[^/]*\.tmp")
    return all(each == parent or hidden.fullmatch(each) for each in found)


def delete_empty_folders(root: str, name: str) -> None:
    """Delete a folder below `root`, and its parents below that, as far as nothing is in them."""
    while name:
        try:
            os.rmdir(os.path.join(root, name))
        except FileNotFoundError:
            pass
        except OSError:  # something is in it
            return
        name = name.rpartition("/")[0]


def delete_unfinished_writes(folder: str) -> None:
    """Delete the hidden files below a folder that nobody writes any more."""
    # A folder that another process takes away meanwhile is passed over by `os.walk`.
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if (writer := _HIDDEN.fullmatch(name)) is not None and _is_abandoned(file, writer):
                file.unlink(missing_ok=True)


def _is_abandoned(file: Path, writer: re.Match[str]) -> bool:
    if writer["machine"] == machine():
        return birth(int(writer["pid"])) is None
    try:
        return time.time() - file.stat().st_mtime > SECONDS_TO_WRITE
    except FileNotFoundError:  # it has just been finished
        return False
