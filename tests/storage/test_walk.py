import os
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.errors import StorageError
from iem_batch.storage import walk
from iem_batch.storage.walk import Page, walk_local, walk_pages

# Characters around '/', which orders by itself: 'a-b' < 'a/b' < 'a0'.
KEY = st.lists(st.text("a-/0é.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


class FakeStore:
    """Lists keys as S3 does, in small pages."""

    def __init__(self, keys: list[str], page_size: int = 3) -> None:
        self.keys = sorted(keys)
        self.page_size = page_size
        self.num_pages = 0

    def pages(self, prefix: str, deep: bool) -> Iterator[Page]:
        below = [key for key in self.keys if key.startswith(prefix)]
        ends = {} if deep else {key: key.find("/", len(prefix)) for key in below}
        found = sorted({key[: ends[key] + 1] if ends.get(key, -1) >= 0 else key for key in below})
        for start in range(0, len(found), self.page_size):
            self.num_pages += 1
            some = found[start : start + self.page_size]
            folders = [key for key in some if key.endswith("/") and not deep and key != prefix]
            yield Page(files=[(k, len(k)) for k in some if k not in folders], folders=folders)


@given(st.lists(KEY, unique=True, max_size=30))
def test_store_is_walked_in_the_order_of_whole_keys(keys: list[str]) -> None:
    """Catches an order by folders, a key that two prefixes give, and one that none gives."""
    expected = [(key, len(key)) for key in sorted(keys) if not key.endswith("/")]
    assert list(walk_pages(FakeStore(keys).pages)) == expected


def test_only_folder_of_a_level_is_entered_before_the_threads() -> None:
    """A bucket often holds one folder of many: listing it by one thread takes minutes."""
    parts = list(walk._store_parts(FakeStore([f"data/train/{n}/x" for n in "abc"]).pages))
    assert len(parts) == 3


def test_store_out_of_order_is_refused() -> None:
    def pages(prefix: str, deep: bool) -> Iterator[Page]:
        yield Page(files=[("b", 1), ("c", 1)])
        yield Page(files=[("a", 1)])

    with pytest.raises(StorageError, match="lists a after c"):
        list(walk_pages(pages))


def test_walk_that_is_given_up_stops_listing() -> None:
    """Catches --limit 5 that lists a bucket of a billion objects, or never ends."""
    threads = threading.active_count()
    store = FakeStore([f"{n % 50}/{n}" for n in range(40_000)], page_size=100)
    assert len(list(islice(walk_pages(store.pages), 5))) == 5
    assert store.num_pages < 400
    assert threading.active_count() == threads


def test_large_folder_is_sorted_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a merge that loses a name, and odd names in the files of the sort."""
    names = [f"{n:03d}" for n in range(50)] + ["new\nline", os.fsdecode(b"\xff\xfe"), "é", "a b"]
    for name in names:
        (tmp_path / name).write_bytes(b"1")
    for name in ("010-", "0100", "\n"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"22")
    whole = list(walk_local(str(tmp_path)))
    assert whole == sorted(
        [*((n, 1) for n in names), *((f"{n}/x", 2) for n in ("010-", "0100", "\n"))]
    )
    monkeypatch.setattr(walk, "MAX_NAMES_IN_MEMORY", 7)
    assert list(walk_local(str(tmp_path))) == whole


def test_links_between_folders_elsewhere(tmp_path: Path) -> None:
    """Each folder once, whichever thread is first; a way back to the root ends."""
    (tmp_path / "store/deep").mkdir(parents=True)
    (tmp_path / "store/deep/x").write_bytes(b"1")
    (tmp_path / "store/y").write_bytes(b"1")
    (tmp_path / "store/back").symlink_to("../set")
    for folder, target in {"a": "store/deep", "b": "store", "c": "store", "d": "set/.h"}.items():
        (tmp_path / "set" / folder).mkdir(parents=True)
        (tmp_path / "set" / folder / "link").symlink_to(tmp_path / target)
    (tmp_path / "set/.h").mkdir()
    (tmp_path / "set/.h/z").write_bytes(b"1")
    assert list(walk_local(str(tmp_path / "set"))) == [
        (".h", None),
        ("a/link/x", 1),
        ("b/link/back", None),
        ("b/link/deep", None),
        ("b/link/y", 1),
        ("c/link", None),
        ("d/link/z", 1),
    ]
