"""Packed tars and lists: what they hold is what the plain ones hold, and damage is bounded."""

import bz2
import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.sources import Entry, RawImage, Source, open_source
from iem_batch.sources.tar import TarSource
from iem_batch.storage import unpacked
from iem_batch.storage.unpacked import Unpacked
from tests.sources.test_tar import add, image, read_all, tar_of

NAMES = [f"{index:03d}.jpg" for index in range(120)]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "x.tar.gz": gzip.compress,
    "x.tgz": lambda data: gzip.compress(data[:50_000]) + gzip.compress(data[50_000:]),
    "x.tar.bz2": bz2.compress,
    "any name": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def entries_of(source: Source, max_images: int) -> list[Entry]:
    return [item for item in source.entries(max_images) if isinstance(item, Entry)]


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("is_remote", [False, True])
def test_a_packed_tar_holds_what_the_tar_holds(
    tmp_path: Path, name: str, is_remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any order, also where it has to go back further than it has kept."""
    monkeypatch.setattr(unpacked, "BLOCK_BYTES", 1000)
    data = PACKERS[name](tar_of(*NAMES))
    (tmp_path / name).write_bytes(data)
    MemoryFileSystem().pipe_file(f"/bucket-packed/{name}", data)
    source = open_source(f"memory://bucket-packed/{name}" if is_remote else str(tmp_path / name))
    assert isinstance(source, TarSource)
    assert open_source(source.url) == source
    expected = {one: image(one) for one in NAMES}
    for max_images in (1, 7, 200):
        assert read_all(source, max_images) == (expected, {})
    entries = entries_of(source, 7)
    random.Random(0).shuffle(entries)
    read = [item for entry in entries for item in source.read(entry)]
    assert {item.image_id: item.data for item in read if isinstance(item, RawImage)} == expected


@pytest.mark.parametrize(
    "make",
    [lambda names: tar_of(*names), lambda names: "\n".join(names).encode()],
    ids=["tar", "list"],
)
def test_shards_in_order_unpack_once(
    tmp_path: Path, make: Callable[[list[str]], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a hundred shards would unpack the first of them a hundred times."""
    monkeypatch.setattr(unpacked, "BLOCK_BYTES", 1000)
    names = [f"{tmp_path}/{name}{1000 * chr(120)}" for name in NAMES]
    (tmp_path / "x").write_bytes(gzip.compress(make(names)))
    source = open_source(str(tmp_path / "x"))
    entries = entries_of(source, 5)
    begun: list[Unpacked] = []
    begin = Unpacked._begin

    def counted(self: Unpacked) -> None:
        begun.append(self)
        begin(self)

    monkeypatch.setattr(Unpacked, "_begin", counted)
    assert sum(len(list(source.read(entry))) for entry in entries) == len(NAMES)
    assert len(begun) == 1
    list(source.read(entries[3]))
    assert len(begun) == 2


def test_an_archive_given_up_half_way_can_be_read_again(tmp_path: Path) -> None:
    """Catches a file whose place is not where the next reader takes it to be."""
    (tmp_path / "x.tgz").write_bytes(gzip.compress(tar_of(*NAMES)))
    source = open_source(str(tmp_path / "x.tgz"))
    [entry] = entries_of(source, 200)
    items = source.read(entry)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert len(list(source.read(entry))) == len(NAMES)


def test_a_large_member_is_in_memory_once(tmp_path: Path) -> None:
    """A packed tar of a few KiB may hold images of a GiB, as far as anybody can tell before."""
    large = {"a.jpg": image("a") + bytes(40 << 20)}
    (tmp_path / "x.tgz").write_bytes(gzip.compress(_tar(large)))
    source = open_source(str(tmp_path / "x.tgz"))
    [entry] = entries_of(source, 9)
    tracemalloc.start()
    [item] = source.read(entry)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(item, RawImage)
    assert item.data == large["a.jpg"]
    assert peak < 1.5 * len(item.data)


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage_costs_what_is_behind_it(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "BLOCK_BYTES", 1000)
    noise = random.Random(1)
    contents = {name: image(name)[:4] + noise.randbytes(3000) for name in NAMES}
    data = bytearray(gzip.compress(_tar(contents)))
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0x55
    (tmp_path / "x.tgz").write_bytes(data)
    (tmp_path / "y.tgz").write_bytes(gzip.compress(tar_of("y.jpg")))
    images, reasons = read_all(open_source(str(tmp_path)), 50)
    assert images.pop("y.tgz/y.jpg") == image("y.jpg")
    assert 0.3 * len(NAMES) < len(images) < len(NAMES)
    assert images == {f"x.tgz/{name}": contents[name] for name in NAMES[: len(images)]}
    assert set(reasons.values()) <= {"truncated", "unreadable"}
    assert reasons["x.tgz"] == "unreadable"
    assert len(reasons) <= 3


def _tar(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in contents.items():
            add(archive, name, data)
    return buffer.getvalue()


def test_bombs_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes before is kept, and a row says that something was lost."""
    monkeypatch.setattr(unpacked, "SMALL_BYTES", 1 << 20)
    bomb = bytes(30 << 20)
    (tmp_path / "x.tgz").write_bytes(gzip.compress(tar_of("a.jpg")[:1536] + bomb))
    (tmp_path / "1.jpg").write_bytes(image("1"))
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(b"path\n1.jpg\n" + bomb))
    images, reasons = read_all(open_source(str(tmp_path / "x.tgz")))
    assert images == {"a.jpg": image("a.jpg")}
    assert reasons == {"x.tgz": "unreadable"}
    images, reasons = read_all(open_source(str(tmp_path / "l.csv.gz")))
    assert images == {"1.jpg": image("1")}
    assert reasons["l.csv.gz"] == "unreadable"
    [*_, last] = entries_of(open_source(str(tmp_path / "l.csv.gz")), 500)
    assert last.problem == "it unpacks to more than 250 times its size"
