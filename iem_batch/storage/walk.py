"""Listing all files below a folder in the order of their names, in bounded memory.

The order is that of whole names, '/' being a character like any other, so that it depends on no
store's listing. Top-level folders are listed by several threads.
"""

import heapq
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from typing import IO

from iem_batch.errors import StorageError
from iem_batch.storage.read_ahead import LARGE_REQUESTS, read_ahead

MAX_NAMES_IN_MEMORY = 100_000
"""Names of one folder that are sorted in memory; more are sorted in files."""

_FILES_IN_A_PART = 1000

Found = tuple[str, int | None]
"""A name below the folder, and its size; None when it is nothing that can be read as a file."""

LOST = -1
"""The size of a link that leads nowhere, and of what is gone since it was listed."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the keys of an object store below a prefix, in order."""

    files: list[tuple[str, int]]
    """Key below the folder walked, and size."""
    folders: list[str] = field(default_factory=list)
    """Keys up to and with the next '/', of what is not among the files."""


Pages = Callable[[str, bool], Iterator[Page]]
"""Lists a prefix, page by page: all that is below it (True) or one level (False)."""


def walk_pages(pages: Pages) -> Iterator[Found]:
    """Walk an object store; holds a bounded number of pages.

    Raises:
        StorageError: the store does not list keys in the order of their bytes.
    """
    before = ""
    for name, size in read_ahead(_store_parts(pages), LARGE_REQUESTS):
        if name <= before:
            raise StorageError(f"the store lists {name} after {before}: not in order of names")
        before = name
        if not name.endswith("/"):  # an empty object that some tools leave for a folder
            yield name, size


def _store_parts(pages: Pages) -> Iterator[Callable[[], Iterable[tuple[str, int]]]]:
    prefix = ""
    while (only := _only_folder(pages, prefix)) is not None:
        prefix = only
    for page in pages(prefix, False):
        level = heapq.merge(
            ((name, size, False) for name, size in page.files),
            ((name, 0, True) for name in page.folders),
        )
        for is_folder, group in groupby(level, key=lambda item: item[2]):
            if is_folder:
                for name, _, _ in group:
                    yield partial(_below, pages, name)
            else:
                yield partial(list, [(name, size) for name, size, _ in group])


def _only_folder(pages: Pages, prefix: str) -> str | None:
    """Give the folder that is all there is on a level: its own folders can be listed at once."""
    found = list(islice(pages(prefix, False), 2))
    if len(found) == 1 and not found[0].files and len(found[0].folders) == 1:
        return found[0].folders[0]
    return None


def _below(pages: Pages, prefix: str) -> Iterator[tuple[str, int]]:
    for page in pages(prefix, True):
        yield from page.files


def walk_local(root: str) -> Iterator[Found]:
    """Walk a local folder; hidden folders are named but not entered.

    Links are followed. A folder that lies below `root` is listed where it lies and nowhere else,
    and a folder elsewhere where the first link to it is, so loops of links end.

    Raises:
        FileNotFoundError: there is no such folder.
        StorageError: a folder cannot be listed; the message names it.
    """
    os.stat(root)
    links = _Links(root)
    for name, size in read_ahead(_local_parts(root), LARGE_REQUESTS):
        if size is not None or not name.endswith("/"):
            yield name, size
        else:
            yield from links.follow(name)


def _local_parts(root: str) -> Iterator[Callable[[], Iterable[Found]]]:
    names = _sorted_names(root)
    for is_folder, group in groupby(names, key=lambda name: name.endswith("/")):
        if is_folder:
            for name in group:
                yield partial(_walk_below, root, name)
        else:
            while some := list(islice(group, _FILES_IN_A_PART)):
                yield partial(_sizes, root, some)


def _walk_below(root: str, folder: str) -> Iterator[Found]:
    """Walk a folder; of one that is a link only the name comes, with a '/'."""
    if os.path.islink(os.path.join(root, folder[:-1])):
        yield folder, None
        return
    for name in _sorted_names(os.path.join(root, folder)):
        if name.endswith("/"):
            yield from _walk_below(root, folder + name)
        else:
            yield from _sizes(root, [folder + name])


def _sizes(root: str, names: Iterable[str]) -> Iterator[Found]:
    for name in names:
        try:
            status = os.stat(os.path.join(root, name))
        except OSError:
            yield name, LOST
            continue
        yield name, status.st_size if stat.S_ISREG(status.st_mode) else None


class _Links:
    """The links to folders below a root. They are followed one after another, in order."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.real_root = os.path.realpath(root)
        self._entered = {self._identity(root)}

    def follow(self, link: str) -> Iterator[Found]:
        path = os.path.join(self.root, link[:-1])
        if self._is_walked(os.path.realpath(path)):
            yield link[:-1], None
        else:
            yield from self._enter(link)

    def _is_walked(self, real_path: str) -> bool:
        if real_path == self.real_root:
            return True
        below, inside = os.path.relpath(real_path, self.real_root), self.real_root.rstrip("/") + "/"
        hidden = any(part.startswith(".") for part in below.split("/"))
        return real_path.startswith(inside) and not hidden

    def _enter(self, folder: str) -> Iterator[Found]:
        identity = self._identity(os.path.join(self.root, folder))
        if identity in self._entered:
            yield folder[:-1], None
            return
        self._entered.add(identity)
        for name in _sorted_names(os.path.join(self.root, folder)):
            if not name.endswith("/"):
                yield from _sizes(self.root, [folder + name])
            elif os.path.islink(os.path.join(self.root, folder, name[:-1])):
                yield from self.follow(folder + name)
            else:
                yield from self._enter(folder + name)

    @staticmethod
    def _identity(path: str) -> tuple[int, int]:
        status = os.stat(path)
        return status.st_dev, status.st_ino


def _sorted_names(path: str) -> Iterator[str]:
    """List a folder in order; the names of folders that are not hidden end in '/'."""
    names: list[str] = []
    with ExitStack() as opened:
        runs: list[IO[str]] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    is_folder = not entry.name.startswith(".") and _is_folder(entry)
                    names.append(entry.name + "/" if is_folder else entry.name)
                    if len(names) == MAX_NAMES_IN_MEMORY:
                        runs.append(opened.enter_context(tempfile.TemporaryFile("w+")))
                        _spill(sorted(names), runs[-1])
                        names = []
        except OSError as error:
            raise StorageError(f"cannot list {path}: {error.strerror}") from error
        yield from heapq.merge(sorted(names), *((json.loads(line) for line in run) for run in runs))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a loop of links
        return False


def _spill(names: list[str], run: IO[str]) -> None:
    # As JSON, because a name may hold a line break, or bytes that are not UTF-8.
    run.writelines(json.dumps(name) + "\n" for name in names)
    run.seek(0)
