"""Reading the file of a trained network, wherever it is and of whatever size."""

import os
from dataclasses import dataclass
from pathlib import Path

from iem_batch.errors import StorageError
from iem_batch.storage.folder import Folder
from iem_batch.storage.web import WebFile, is_web

NAME = "weights.safetensors"
"""What the file is called in every folder that has one."""

MAX_BYTES = 4 << 30
"""A larger file is not read: a network of a thousand million weights has 4 GiB."""

COPIES = 3
"""Times its size that a file takes while it is read: its bytes, a copy, and the weights."""

_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A file as it was read."""

    url: str
    data: bytes


def read_model_file(where: str | os.PathLike[str]) -> ModelFile:
    """Read the file of a trained network.

    Args:
        where: a run, of which the last round with a network counts; a folder with the file, such
            as train/ of a run; or the file itself. A local path or a URL, on https the file.

    Raises:
        StorageError: there is none, or it is larger than `MAX_BYTES` or than memory allows.
    """
    place = os.fspath(where)
    try:
        if is_web(place):
            return _read(WebFile(place), "")
        folder = Folder(place)
        name = "" if folder.kind() == "file" else _name_in(folder)
        return _read(folder, name)
    except FileNotFoundError as error:
        raise StorageError(
            f"{place} holds no trained network: it is neither a run that was trained, nor a folder "
            f"with {NAME}, nor such a file"
        ) from error


def _name_in(folder: Folder) -> str:
    """Find the file in a folder.

    Raises:
        FileNotFoundError: it has none.
    """
    number = 1
    while folder.kind(f"rounds/{number + 1}") == "folder":
        number += 1
    names = [f"rounds/{each}/train/{NAME}" for each in range(number, 1, -1)]
    for name in (*names, f"train/{NAME}", NAME):
        if folder.kind(name) == "file":
            return name
    raise FileNotFoundError(folder.url)


def _read(place: Folder | WebFile, name: str) -> ModelFile:
    url, size = place.url_of(name), place.size(name)
    if size > MAX_BYTES:
        raise StorageError(f"{url} has {_gb(size)}, more than the {_gb(MAX_BYTES)} that are read")
    free = memory_left()
    if COPIES * size > free:
        raise StorageError(
            f"{url} has {_gb(size)}; reading it takes {_gb(COPIES * size)} of memory, and "
            f"{_gb(free)} are left"
        )
    return ModelFile(url=url, data=place.read_bytes(name))


def memory_left() -> int:
    """Give the bytes of memory that this machine has left; all it has where it does not tell."""
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gb(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
