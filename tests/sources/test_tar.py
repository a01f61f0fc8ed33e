import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import SourceError
from iem_batch.sources import Entry, IgnoredFile, RawImage, Source, open_source, tar

JPEG = b"\xff\xd8\xff\xe0"


def image(name: str, size: int = 700) -> bytes:
    """Begins as a JPEG, and differs by name."""
    return (JPEG + name.encode() * size)[:size]


def add(archive: tarfile.TarFile, name: str, data: bytes, **fields: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(data))


def tar_of(*names: str, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name in names:
            add(archive, name, image(name))
    return buffer.getvalue()


def read_all(source: Source, max_images: int = 512) -> tuple[dict[str, bytes], dict[str, str]]:
    """Images and the reasons of the others, by id; counts what was planned."""
    images, reasons = {}, dict[str, str]()
    for entry in source.entries(max_images):
        if isinstance(entry, IgnoredFile):
            continue
        items = list(source.read(entry))
        assert len(items) == entry.stop - entry.start or entry.count == "estimated"
        for item in items:
            if isinstance(item, RawImage):
                assert item.image_id not in images
                images[item.image_id] = item.data
            else:
                reasons[item.image_id] = item.reason
                assert item.message
    return images, reasons


def opened(path: Path, data: bytes) -> Source:
    path.write_bytes(data)
    return open_source(f"{path}#format=tar")


def ignored(source: Source) -> list[str]:
    return [item.uri for item in source.entries() if isinstance(item, IgnoredFile)]


@pytest.mark.parametrize("max_images", [1, 2, 3, 100])
def test_ranges_of_members(tmp_path: Path, max_images: int) -> None:
    """Catches a range that begins or ends in the middle of a member."""
    names = ["a.jpg", "./b/c.jpg", "ä" * 200 + ".png", "no extension", "d.webp"]
    source = opened(tmp_path / "x.tar", tar_of(*names))
    names[1] = "b/c.jpg"
    images, reasons = read_all(source, max_images)
    assert list(images) == names
    assert reasons == {}
    entries = [item for item in source.entries(max_images) if isinstance(item, Entry)]
    assert [entry.stop - entry.start for entry in entries][:-1] == [max_images] * (len(entries) - 1)
    assert pickle.loads(pickle.dumps(source)) == source


def test_wanted_reads_only_these(tmp_path: Path) -> None:
    source = opened(tmp_path / "x.tar", tar_of("a.jpg", "b.jpg", "c.jpg"))
    [entry] = source.entries()
    assert [item.image_id for item in source.read(entry, {"b.jpg"})] == ["b.jpg"]


def test_what_is_no_image_is_ignored_by_name(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "a.jpg", image("a"))
        add(archive, "a.json", b"{}")
        add(archive, "folder", b"", type=tarfile.DIRTYPE)
        add(archive, "._a.jpg", b"Mac OS X")
        add(archive, "BM.txt", b"BMW is a car, not a bitmap")
    source = opened(tmp_path / "x.tar", buffer.getvalue())
    assert list(read_all(source)[0]) == ["a.jpg"]
    names = [uri.partition("#")[2] for uri in ignored(source)]
    assert names == ["a.json", "._a.jpg", "BM.txt"]


def test_hostile_members_are_quarantined_by_name(tmp_path: Path) -> None:
    """None of these names may ever be opened, and no neighbour be lost."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "first.jpg", image("first"))
        add(archive, "../../etc/x", b"root")
        add(archive, "a/../../b.jpg", image("b"))
        add(archive, "link.jpg", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "hard.jpg", b"", type=tarfile.LNKTYPE, linkname="first.jpg")
        add(archive, "null.jpg", b"", type=tarfile.CHRTYPE)
        add(archive, "pipe.jpg", b"", type=tarfile.FIFOTYPE)
        add(archive, "empty.jpg", b"")
        add(archive, "last.jpg", image("last"))
    images, reasons = read_all(opened(tmp_path / "x.tar", buffer.getvalue()), 4)
    assert list(images) == ["first.jpg", "empty.jpg", "last.jpg"]
    assert reasons == {
        "../../etc/x": "unsafe_path",
        "a/../../b.jpg": "unsafe_path",
        "link.jpg": "not_a_file",
        "hard.jpg": "not_a_file",
        "null.jpg": "not_a_file",
        "pipe.jpg": "not_a_file",
    }


def test_absolute_names_are_names(tmp_path: Path) -> None:
    """`tar -P`, and tools that pack from the root: no name is a path here, so nothing is unsafe."""
    names = ["/data/set/a.jpg", "//data/b.jpg", "/./c.jpg", "././d.jpg"]
    for max_images in (1, 9):
        images, reasons = read_all(opened(tmp_path / "x.tar", tar_of(*names)), max_images)
        assert list(images) == ["data/set/a.jpg", "data/b.jpg", "c.jpg", "d.jpg"]
        assert reasons == {}


def test_members_that_are_no_images_whatever_they_are(tmp_path: Path) -> None:
    """A link of another name, and the label of a volume, are no lost images."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        add(archive, "June 2024", b"", type=b"V")
        add(archive, "latest", b"", type=tarfile.SYMTYPE, linkname="a.jpg")
        add(archive, "a.jpg", image("a"))
    source = opened(tmp_path / "x.tar", buffer.getvalue())
    assert read_all(source) == ({"a.jpg": image("a")}, {})
    assert [uri.partition("#")[2] for uri in ignored(source)] == ["June 2024", "latest"]


def test_global_headers_are_no_damage(tmp_path: Path) -> None:
    """`git archive` begins with the hash of the commit; archives may follow one another."""
    comment = b"52 comment=0123456789abcdef0123456789abcdef01234567\n"
    data = pax(comment, tarfile.XGLTYPE) + tar_of("a.jpg", "b.jpg")
    data += pax(comment, tarfile.XGLTYPE) * 2 + tar_of("c.jpg")
    for max_images in (1, 2, 9):
        images, reasons = read_all(opened(tmp_path / "x.tar", data), max_images)
        assert (list(images), reasons) == (["a.jpg", "b.jpg", "c.jpg"], {})
    end = pax(comment, tarfile.XGLTYPE) + bytes(1024)
    assert read_all(opened(tmp_path / "x.tar", tar_of("a.jpg") + end))[1] == {}


def test_duplicate_members(tmp_path: Path) -> None:
    """The first stays; the others are rows, wherever the ranges are cut."""
    data = tar_of("a.jpg", "b.jpg", "a.jpg", "c.jpg", "./a.jpg")
    source = opened(tmp_path / "x.tar", data)
    for max_images in (1, 2, 5):
        images, reasons = read_all(source, max_images)
        assert list(images) == ["a.jpg", "b.jpg", "c.jpg"]
        assert reasons == {"a.jpg": "duplicate"}
        repeats = [item.repeats for item in source.entries(max_images) if isinstance(item, Entry)]
        assert [index for some in repeats for index in some] == [2, 4]


def sizes() -> list[int]:
    """Where three members of 700 bytes end: each has a header and two blocks."""
    return [512 + 1024, 2 * (512 + 1024), 3 * (512 + 1024)]


@pytest.mark.parametrize(
    ("cut", "images", "reasons"),
    [
        # In the data of the third; at its padding; in its header; between members; in the marks.
        (lambda end: end[1] + 600, 2, ["truncated", "truncated"]),
        (lambda end: end[2] - 10, 3, ["truncated"]),
        (lambda end: end[1] + 100, 2, ["unreadable"]),
        (lambda end: end[1], 2, ["truncated"]),
        (lambda end: end[2] + 512, 3, []),
    ],
)
def test_truncated_tail(
    tmp_path: Path, cut: Callable[[list[int]], int], images: int, reasons: list[str]
) -> None:
    """What is cut is named, what is whole is kept, and planning equals reading."""
    data = tar_of("a.jpg", "b.jpg", "c.jpg")[: cut(sizes())]
    source = opened(tmp_path / "x.tar", data)
    for max_images in (1, 2, 100):
        found, bad = read_all(source, max_images)
        assert list(found) == ["a.jpg", "b.jpg", "c.jpg"][:images]
        assert list(bad.values()) == reasons
        assert all(name == "c.jpg" or name.startswith("x.tar#") for name in bad)


def test_damaged_header_costs_its_member(tmp_path: Path) -> None:
    """As other tools do, go on at the next header that is right."""
    data = bytearray(tar_of("a.jpg", "b.jpg", "c.jpg"))
    data[sizes()[0] + 20 : sizes()[0] + 40] = b"\xff" * 20
    source = opened(tmp_path / "x.tar", bytes(data))
    for max_images in (1, 100):
        images, reasons = read_all(source, max_images)
        assert list(images) == ["a.jpg", "c.jpg"]
        assert reasons == {f"x.tar#{sizes()[0]}": "unreadable"}


def test_archives_one_behind_the_other(tmp_path: Path) -> None:
    """`cat a.tar b.tar`: what lies behind the first end mark is not lost."""
    source = opened(tmp_path / "x.tar", tar_of("a.jpg") + tar_of("b.jpg"))
    assert list(read_all(source)[0]) == ["a.jpg", "b.jpg"]


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """A pax header block with any records, well-formed or not."""
    info = tarfile.TarInfo("PaxHeader")
    info.type, info.size = kind, len(records)
    return info.tobuf() + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (b"16 path=o/b.jpg\n", ["a.jpg", "o/b.jpg", "c.jpg"]),
        (b"999999 path=b.jpg\n", ["a.jpg", "b.jpg", "c.jpg"]),
        (b"0 path=b.jpg\n", ["a.jpg", "b.jpg", "c.jpg"]),
        (b"no records at all", ["a.jpg", "b.jpg", "c.jpg"]),
        (b"\xff" * 40, ["a.jpg", "b.jpg", "c.jpg"]),
    ],
)
def test_odd_pax_headers_lose_nothing(tmp_path: Path, records: bytes, expected: list[str]) -> None:
    """Catches a header that makes the reader stop, loop or fail."""
    whole = tar_of("a.jpg", "b.jpg", "c.jpg")
    data = whole[: sizes()[0]] + pax(records) + whole[sizes()[0] :]
    images, _ = read_all(opened(tmp_path / "x.tar", data), 1)
    # Some Pythons take the record although it is too short, with the end of its line.
    assert [name.removesuffix("\n") for name in images] == expected
    assert list(images.values()) == [image("a.jpg"), image("b.jpg"), image("c.jpg")]


def test_size_below_zero_ends(tmp_path: Path) -> None:
    """Catches a reader that goes back and for ever on."""
    whole = tar_of("a.jpg", "b.jpg", "c.jpg")
    info = tarfile.TarInfo("evil.jpg")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (256**12 - 2048).to_bytes(12, "big")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    data = whole[: sizes()[1]] + bytes(block) + whole[sizes()[1] :]
    images, _ = read_all(opened(tmp_path / "x.tar", data))
    assert list(images) == ["a.jpg", "b.jpg", "c.jpg"]


def test_sparse_member_is_put_together(tmp_path: Path) -> None:
    """Old GNU sparse: 512 bytes of data at 0 and 512 at 1024 of 1536."""
    content = image("s", 512) + bytes(512) + image("t", 512)
    info = tarfile.TarInfo("s.jpg")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 1024
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    for index, (offset, size) in enumerate([(0, 512), (1024, 512)]):
        start = 386 + 24 * index
        block[start : start + 24] = b"%011o\0%011o\0" % (offset, size)
    block[483:495] = b"%011o\0" % len(content)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    data = bytes(block) + content[:512] + content[1024:] + tar_of("b.jpg")
    images, reasons = read_all(opened(tmp_path / "x.tar", data), 1)
    assert images == {"s.jpg": content, "b.jpg": image("b.jpg")}
    assert reasons == {}


def test_folder_of_archives(tmp_path: Path) -> None:
    """Ids have the archive before them; what cannot be read is one row, by name."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.tar").write_bytes(tar_of("x.jpg"))
    (tmp_path / "sub/a.tar").write_bytes(tar_of("x.jpg", "y.jpg"))
    (tmp_path / "c.tar.gz").write_bytes(tar_of("x.jpg", mode="w:gz"))
    (tmp_path / "c.tar.xz").write_bytes(tar_of("x.jpg", mode="w:xz"))
    (tmp_path / "d.tar").write_bytes(b"<html>404 Not Found</html>")
    (tmp_path / "e.tar").write_bytes(b"")
    (tmp_path / "f.tar").write_bytes(bytes(10240))
    (tmp_path / "g.tar").symlink_to("nowhere")
    (tmp_path / "README.md").write_bytes(b"hello")
    source = open_source(str(tmp_path))
    images, reasons = read_all(source)
    names = ["b.tar/x.jpg", "c.tar.gz/x.jpg", "sub/a.tar/x.jpg", "sub/a.tar/y.jpg"]
    assert list(images) == names
    unreadable = ("c.tar.xz", "d.tar", "e.tar", "g.tar")
    assert reasons == dict.fromkeys(unreadable, "unreadable")
    assert ignored(source) == [f"{tmp_path}/README.md"]


def test_archive_that_changed_fails_the_shard(tmp_path: Path) -> None:
    """Another archive under the name is no quarantine: its images are others."""
    source = opened(tmp_path / "x.tar", tar_of("a.jpg", "b.jpg", "c.jpg"))
    entries = [item for item in source.entries(2) if isinstance(item, Entry)]
    (tmp_path / "x.tar").write_bytes(tar_of("a.jpg"))
    with pytest.raises(SourceError, match="x.tar has changed since the run was planned"):
        list(source.read(entries[0]))
    (tmp_path / "x.tar").unlink()
    with pytest.raises(SourceError, match="x.tar is gone"):
        list(source.read(entries[1]))


# --- remote archives that are not looked through ---


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Source:
    """Two remote archives of 30 images and one cut one, of which 4096 bytes are looked at."""
    monkeypatch.setattr(tar, "SAMPLE_BYTES", 4096)
    store = MemoryFileSystem()
    whole = tar_of(*(f"{index}.jpg" for index in range(30)), "3.jpg")
    store.pipe_file("/bucket-t/a.tar", whole)
    store.pipe_file("/bucket-t/b.tar", whole)
    store.pipe_file("/bucket-t/c.tar", whole[: 20 * 1536 + 600])
    return open_source("memory://bucket-t")


def test_estimated_archives_are_read_to_their_end(remote: Source) -> None:
    entries = [item for item in remote.entries(100) if isinstance(item, Entry)]
    assert [entry.count for entry in entries] == ["estimated"] * 3
    assert all(10 < entry.stop <= 40 for entry in entries)
    images, reasons = read_all(remote, 100)
    assert len(images) == 30 + 30 + 20
    assert reasons == {
        "a.tar/3.jpg": "duplicate",
        "b.tar/3.jpg": "duplicate",
        "c.tar/20.jpg": "truncated",
        f"c.tar#{21 * 1536}": "truncated",
    }


def test_large_remote_archives_are_looked_through(remote: Source) -> None:
    entries = [item for item in remote.entries(8) if isinstance(item, Entry)]
    assert {entry.count for entry in entries} == {"exact"}
    assert [entry.stop - entry.start for entry in entries if "a.tar" in entry.uri] == [8, 8, 8, 7]
    assert len(read_all(remote, 8)[0]) == 80


def test_remote_ranges_are_read_by_one_request(remote: Source, monkeypatch) -> None:
    """Catches a request for each member, and one that fetches more than the range."""
    entries = [item for item in remote.entries(8) if isinstance(item, Entry)]
    requests = []
    cat_file = MemoryFileSystem.cat_file

    def counted(self, path, start=None, end=None, **options):
        requests.append((start, end))
        return cat_file(self, path, start=start, end=end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", counted)
    assert len(list(remote.read(entries[1]))) == 8
    assert requests == [(entries[1].offset, entries[1].end)]
