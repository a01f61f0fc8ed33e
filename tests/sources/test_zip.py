import io
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import SourceError
from iem_batch.sources import Entry, Source, open_source
from iem_batch.sources.zip_archive import ZipSource
from tests.sources.test_tar import ignored, image, read_all


def zip_of(*names: str, method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = comment
        for name in names:
            archive.writestr(name, image(name))
    return buffer.getvalue()


def opened(path: Path, data: bytes) -> Source:
    path.write_bytes(data)
    source = open_source(str(path))
    assert isinstance(source, ZipSource)
    assert open_source(source.url) == source
    return source


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("max_images", [1, 3, 100])
def test_ranges_of_the_directory(tmp_path: Path, method: int, max_images: int) -> None:
    """Told by content; a folder, a text and hidden files are no images."""
    names = ["a.jpg", "b/c.JPG", "ä.png", "no extension", "/abs.png", "./d.webp"]
    data = zip_of(*names, "b/", "x.txt", "__MACOSX/._a.jpg", method=method, comment=b"PK" * 9)
    source = opened(tmp_path / "any name", data)
    names[4:] = ["abs.png", "d.webp"]
    images, reasons = read_all(source, max_images)
    assert list(images) == names
    assert images["b/c.JPG"] == image("b/c.JPG")
    assert reasons == {}
    assert [uri.partition("#")[2] for uri in ignored(source)] == ["x.txt", "__MACOSX/._a.jpg"]
    wanted = [
        i.image_id
        for e in source.entries()
        if isinstance(e, Entry)
        for i in source.read(e, {"ä.png"})
    ]
    assert wanted == ["ä.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_several_archives_also_on_a_store(tmp_path: Path) -> None:
    for name in ("1.zip", "sub/2.zip"):
        MemoryFileSystem().pipe_file(f"/bucket-zips/{name}", zip_of("a.jpg", "a.jpg", "b.jpg"))
    MemoryFileSystem().pipe_file("/bucket-zips/3.zip", b"PK\3\4 not to its end")
    MemoryFileSystem().pipe_file("/bucket-zips/4.zip", b"<html>")
    images, reasons = read_all(open_source("memory://bucket-zips"))
    assert list(images) == [f"{name}/{one}.jpg" for name in ("1.zip", "sub/2.zip") for one in "ab"]
    assert reasons == {
        "1.zip/a.jpg": "duplicate",
        "sub/2.zip/a.jpg": "duplicate",
        "3.zip": "unreadable",
        "4.zip": "unreadable",
    }


def test_hostile_members_are_rows_by_name(tmp_path: Path) -> None:
    """No name is a path, a link is not followed, and a bomb is not unpacked."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../x.jpg", image("x"))
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bomb.jpg", bytes(65 << 20))
        archive.writestr("bz2.jpg", image("b"), zipfile.ZIP_BZIP2)
        archive.writestr("secret.jpg", image("s"))
        archive.writestr("crc.jpg", image("c"))
        archive.writestr("moved.jpg", image("m"))
        archive.writestr("good.jpg", image("good"))
    data = bytearray(buffer.getvalue())
    at = {name: data.rindex(f"{name}.jpg".encode()) - 46 for name in ("secret", "crc", "moved")}
    data[at["secret"] + 8] |= 1
    data[at["crc"] + 16] ^= 1
    data[at["moved"] + 42] ^= 1
    images, reasons = read_all(opened(tmp_path / "x.zip", bytes(data)), 3)
    assert images == {"good.jpg": image("good")}
    assert reasons == {
        "../../x.jpg": "unsafe_path",
        "link.jpg": "not_a_file",
        "bomb.jpg": "too_large",
        **dict.fromkeys(("bz2.jpg", "secret.jpg", "crc.jpg", "moved.jpg"), "unreadable"),
    }


def test_a_damaged_directory_costs_what_is_behind(tmp_path: Path) -> None:
    data = bytearray(zip_of("a.jpg", "b.jpg", "c.jpg"))
    at = data.rindex(b"b.jpg") - 46
    data[at] = 0
    source = opened(tmp_path / "x.zip", bytes(data))
    assert read_all(source) == ({"a.jpg": image("a.jpg")}, {f"#{at}": "unreadable"})


def test_sizes_of_64_bits(tmp_path: Path) -> None:
    """As of an archive of more than 4 GiB, or 65,535 members: the numbers stand elsewhere."""
    data = image("a")
    name, crc = b"a.jpg", zlib.crc32(data)
    local = (
        struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, crc, len(data), len(data), 5, 0)
        + name
        + data
    )
    unknown = 0xFFFFFFFF
    extra = struct.pack("<2HH", 99, 2, 7) + struct.pack("<2H3Q", 1, 24, len(data), len(data), 0)
    record = (
        struct.pack(
            "<4s6H3L5H2L",
            b"PK\1\2",
            45,
            45,
            0,
            0,
            0,
            0,
            crc,
            unknown,
            unknown,
            5,
            len(extra),
            0,
            0,
            0,
            0,
            unknown,
        )
        + name
        + extra
    )
    place = len(local) + len(record)
    end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(record), len(local))
    end += struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    end += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, unknown, unknown, 0)
    assert zipfile.ZipFile(io.BytesIO(local + record + end)).read("a.jpg") == data
    assert read_all(opened(tmp_path / "x", local + record + end)) == ({"a.jpg": data}, {})


def test_any_damage_is_a_row_or_an_image(tmp_path: Path) -> None:
    """A changed byte anywhere never ends the listing or the reading of a folder of zips."""
    rng, whole = random.Random(3), zip_of("a.jpg", "b.jpg")
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(4, len(data))] ^= 1 << rng.randrange(8)
        cut = data if rng.random() < 0.7 else data[: rng.randrange(4, len(data))]
        (tmp_path / "x.zip").write_bytes(cut)
        images, reasons = read_all(open_source(f"{tmp_path}#format=zip"), 1)
        assert images or reasons
        assert set(images.values()) <= {image("a.jpg"), image("b.jpg")}


def test_an_archive_that_was_changed_is_refused(tmp_path: Path) -> None:
    source = opened(tmp_path / "x.zip", zip_of("a.jpg", "b.jpg"))
    [entry] = source.entries()
    (tmp_path / "x.zip").write_bytes(zip_of("c.txt", "d.txt"))
    with pytest.raises(SourceError, match=r"x.zip has changed since"):
        list(source.read(entry))
