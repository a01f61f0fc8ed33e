"""Where each of millions of masks lies."""

import hashlib
from array import array

import numpy as np

Place = tuple[int, int, int]
"""Three whole numbers from 0 that say where a mask lies, as its reader takes them."""


class Places:
    """The places of masks by name; holds 32 bytes for each, and no names.

    A name is known by a hash of 64 bits. That two of five million have one is a chance of one in a
    million.
    """

    def __init__(self) -> None:
        self._added = array("Q")
        self._row_N4 = np.empty((0, 4), np.uint64)

    def __len__(self) -> int:
        return len(self._row_N4)

    def add(self, name: str, place: Place) -> None:
        """Note where a mask lies; `sort` must follow the last one."""
        self._added.extend((_hash(name), *place))

    def sort(self) -> None:
        """Make what was added ready to be found, by any number of threads."""
        row_N4 = np.frombuffer(self._added, np.uint64).reshape(-1, 4)
        self._row_N4 = row_N4[np.argsort(row_N4[:, 0], kind="stable")]
        self._added = array("Q")

    def find(self, name: str) -> list[Place]:
        """Give the places of all masks of a name, in the order in which they were added."""
        key, hash_N = np.uint64(_hash(name)), self._row_N4[:, 0]
        first, stop = (int(np.searchsorted(hash_N, key, side)) for side in ("left", "right"))
        return [(int(a), int(b), int(c)) for a, b, c in self._row_N4[first:stop, 1:]]

    def repeated(self) -> list[Place]:
        """Give the places of two masks of one name; none where each name has one."""
        same_N = np.flatnonzero(self._row_N4[1:, 0] == self._row_N4[:-1, 0])
        return [(int(a), int(b), int(c)) for a, b, c in self._row_N4[same_N[:1] + 1, 1:]]


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
