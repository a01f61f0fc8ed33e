import multiprocessing
import os
import pickle
import threading
from pathlib import Path

import pytest

from iem_batch.errors import SourceError
from iem_batch.sources import Entry, RawImage, Source, lmdb, open_source
from tests.collections_of_photos import write_lmdb
from tests.sources.test_tar import read_all

VALUES = {f"{n:040x}".encode(): bytes([n]) * (5000 if n % 3 else 10) for n in range(50)}


def planned(source: Source, max_images: int) -> list[Entry]:
    return [item for item in source.entries(max_images) if isinstance(item, Entry)]


@pytest.mark.parametrize("max_images", [1, 7, 50, 100])
def test_ranges_of_keys(tmp_path: Path, max_images: int) -> None:
    source = open_source(write_lmdb(tmp_path / "x", VALUES))
    images, reasons = read_all(source, max_images)
    assert images == {key.decode(): value for key, value in sorted(VALUES.items())}
    assert reasons == {}
    entries = planned(source, max_images)
    assert [entry.start for entry in entries] == list(range(0, 50, max_images))
    total = sum(entry.num_bytes for entry in entries)
    assert abs(total - os.path.getsize(tmp_path / "x/data.mdb")) < 50


def test_map_is_opened_again_between_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a key that is lost or comes twice where the map is closed."""
    source = open_source(write_lmdb(tmp_path / "x", VALUES))
    whole = planned(source, 7)
    for count in (1, 7, 49, 50):
        monkeypatch.setattr(lmdb, "KEYS_PER_MAPPING", count)
        assert planned(source, 7) == whole


def test_keys_that_are_no_names(tmp_path: Path) -> None:
    """Catches two keys with one id, and a control character in a table."""
    keys = [b"plain key", b"\x00\xff", b"0x00ff", "ä".encode(), b"a\nb"]
    source = open_source(write_lmdb(tmp_path / "x", {key: b"v" for key in keys}))
    assert set(read_all(source)[0]) == {
        "plain key",
        "0x00ff",
        "0x" + b"0x00ff".hex(),
        "0xc3a4",
        "0x610a62",
    }


def write_databases(path: Path, names: list[str], main: dict[bytes, bytes] | None = None) -> str:
    """An LMDB with named databases, and what the main one holds beside their records."""
    import lmdb

    with lmdb.open(str(path), map_size=1 << 24, max_dbs=9) as environment:
        for name in names:
            database = environment.open_db(name.encode())
            with environment.begin(write=True, db=database) as transaction:
                transaction.put(f"{name} 1".encode(), b"image of " + name.encode())
        with environment.begin(write=True) as transaction:
            for key, value in (main or {}).items():
                transaction.put(key, value)
    return str(path)


def test_named_databases(tmp_path: Path) -> None:
    """Catches the records of databases that are taken for broken images."""
    path = write_databases(tmp_path / "x", ["train", "a&b#%26"])
    with pytest.raises(SourceError, match="x holds the named databases a&b#%26, train; name one a"):
        open_source(path)
    with pytest.raises(SourceError, match="holds the named databases"):
        open_source(f"{path}#db=test")
    for option, name in {"train": "train", "a%26b%23%2526": "a&b#%26"}.items():
        source = open_source(f"{path}#db={option}")
        assert read_all(source, 1) == ({f"{name} 1": f"image of {name}".encode()}, {})
        assert open_source(source.url) == source
        assert source.fingerprint().startswith("1 ")
    with pytest.raises(SourceError, match="holds no named database$"):
        open_source(f"{write_lmdb(tmp_path / 'y', VALUES)}#db=train")


def test_images_beside_named_databases(tmp_path: Path) -> None:
    """A value with the size of a database's record is an image like others."""
    path = write_databases(tmp_path / "x", ["labels"], {b"a": b"1" * 48, b"b": b"2"})
    with pytest.raises(SourceError, match="holds the named databases labels"):
        open_source(path)
    plain = write_lmdb(tmp_path / "y", {b"a": b"1" * 48, b"b": b"2"})
    assert list(read_all(open_source(plain))[0]) == ["a", "b"]
    assert list(read_all(open_source(f"{path}#db="))[0])[:2] == ["a", "b"]


def test_garbage_and_empty_values_come_as_they_are(tmp_path: Path) -> None:
    """The decoder gives the reason; see test_load."""
    source = open_source(write_lmdb(tmp_path / "x", {b"a": b"garbage", b"b": b"", b"c": b"x"}))
    assert read_all(source)[0] == {"a": b"garbage", "b": b"", "c": b"x"}


def test_wanted_keys_only(tmp_path: Path) -> None:
    source = open_source(write_lmdb(tmp_path / "x", VALUES))
    [entry] = planned(source, 100)
    key = f"{17:040x}"
    assert [item.image_id for item in source.read(entry, {key})] == [key]


def test_threads_and_forked_processes(tmp_path: Path) -> None:
    """LMDB may be open once in a process, and not be used behind a fork."""
    source = open_source(write_lmdb(tmp_path / "x", VALUES))
    entries = planned(source, 10)
    found: list[int] = []

    def work() -> None:
        for entry in entries:
            found.append(sum(len(i.data) for i in source.read(entry) if isinstance(i, RawImage)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert sum(found) == 4 * sum(map(len, VALUES.values()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_count, (pickle.dumps((source, entries)),)) == 50


def _count(pickled: bytes) -> int:
    source, entries = pickle.loads(pickled)
    return sum(1 for entry in entries for _ in source.read(entry))


def test_two_databases_in_turn(tmp_path: Path) -> None:
    one = open_source(write_lmdb(tmp_path / "1", {b"a": b"1"}))
    two = open_source(write_lmdb(tmp_path / "2", {b"b": b"2"}))
    for _ in range(2):
        assert list(read_all(one)[0]) == ["a"]
        assert list(read_all(two)[0]) == ["b"]


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    """A cut file would kill the process when its end is touched."""
    path = Path(write_lmdb(tmp_path / "x", VALUES))
    source = open_source(str(path))
    [entry] = planned(source, 100)
    whole = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"x is cut: it has \d+ of \d+ bytes"):
        planned(source, 100)
    (path / "data.mdb").write_bytes(b"no LMDB" * 10000)
    with pytest.raises(SourceError, match="cannot read the LMDB .*x: "):
        list(source.read(entry))
    (path / "data.mdb").unlink()
    with pytest.raises(SourceError, match="No such file"):
        list(source.read(entry))


def test_database_that_changed_fails_the_shard(tmp_path: Path) -> None:
    source = open_source(write_lmdb(tmp_path / "x", VALUES))
    entries = planned(source, 25)
    (tmp_path / "x/data.mdb").unlink()
    write_lmdb(tmp_path / "x", dict(list(VALUES.items())[:30]))
    assert len(list(source.read(entries[0]))) == 25
    with pytest.raises(SourceError, match="x has changed since the run was planned"):
        list(source.read(entries[1]))
