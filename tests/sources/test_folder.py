import errno
import os
import pickle
import random
import shutil
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import SourceError, StorageError
from iem_batch.sources import Entry, IgnoredFile, RawImage, Source, folder, open_source
from tests.sources.test_tar import read_all


def planned(source: Source) -> list[Entry]:
    return [item for item in source.entries() if isinstance(item, Entry)]


def ignored(source: Source) -> list[str]:
    return [item.uri for item in source.entries() if isinstance(item, IgnoredFile)]


def only(source: Source, entry: Entry):
    [item] = source.read(entry)
    return item


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


NAMES = [
    "a.jpg",
    "a/b.jpg",
    "a-b.jpg",
    "a b.png",
    "A.JPG",
    "50%25.jpg",
    "what?.png",
    "x#y.webp",
    "größe 雪.tiff",
    "two\nlines.jpeg",
    "[1]*.gif",
    "deep/er/and.deeper/c.bmp",
    "a::b.jpg",
]


def test_every_name_is_listed_and_read(tmp_path):
    fill(tmp_path, NAMES)
    source = open_source(str(tmp_path))
    entries = planned(source)
    assert ignored(source) == []
    for entry in entries:
        image = only(source, entry)
        assert image == RawImage(
            image_id=entry.uri.removeprefix(f"{tmp_path}/"),
            uri=entry.uri,
            data=image.image_id.encode(),
        )
        assert (entry.start, entry.stop, entry.num_bytes) == (0, 1, len(image.data))
    assert [only(source, entry).image_id for entry in entries] == sorted(NAMES)


def test_files_without_extension_are_told_by_their_content(tmp_path, as_nobody):
    """Sets that name files by a hash or a number were empty."""
    heads = {
        "0a1b": b"\xff\xd8\xff\xe0",
        "sub.d/42": b"\x89PNG\r\n\x1a\n",
        "w": b"RIFF\0\0\0\0WEBPVP8 ",
        "h": b"\0\0\0\x1cftypheic",
        "a": b"\0\0\0\x1cftypavif",
        "x": b"\xff\x0a\0\0",
    }
    others = {"README": b"BM is a kind of bitmap", "empty": b"", ".hidden": b"\xff\xd8\xff\xe0"}
    others |= {"video": b"\0\0\0\x1cftypisom", "photo.txt": b"\xff\xd8\xff\xe0"}
    store = MemoryFileSystem()
    for name, data in (heads | others).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        store.pipe_file(f"/nameless/{name}", data)
    for source in (open_source(str(tmp_path)), open_source("memory://nameless")):
        found = planned(source)
        assert [only(source, entry).image_id for entry in found] == sorted(heads)


def test_object_store_gives_what_a_disk_gives(tmp_path):
    fill(tmp_path, NAMES)
    store = MemoryFileSystem()
    for name in NAMES:
        store.pipe_file(f"/photos/set/{name}", name.encode())
    local, remote = open_source(str(tmp_path)), open_source("memory://photos/set/")
    assert remote.url == "memory://photos/set#format=folder"
    pairs = list(zip(planned(local), planned(remote), strict=True))
    assert len(pairs) == len(NAMES)
    for ours, theirs in pairs:
        assert only(local, ours).image_id == only(remote, theirs).image_id
        assert only(local, ours).data == only(remote, theirs).data
        assert theirs.uri == f"memory://photos/set/{only(remote, theirs).image_id}"
    store.rm("/photos", recursive=True)


def test_order_does_not_depend_on_the_listing(tmp_path, monkeypatch):
    """Disks and stores list in any order, and a plan must not."""
    fill(tmp_path, [f"{index % 7}/{index}.jpg" for index in range(40)])
    expected = planned(open_source(str(tmp_path)))
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = list(entries)
            random.Random(path).shuffle(self.entries)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *exception: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert planned(open_source(str(tmp_path))) == expected


def test_what_is_ignored_is_named(tmp_path):
    fill(tmp_path, ["a.jpg", "notes.txt", "noextension", ".hidden.jpg", "__MACOSX/._a.jpg", "jpg"])
    fill(tmp_path, [".cache/x.jpg"])
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe.jpg")
    source = open_source(str(tmp_path))
    assert [entry.uri for entry in planned(source)] == [f"{tmp_path}/a.jpg"]
    names = [uri.removeprefix(f"{tmp_path}/") for uri in ignored(source)]
    assert names == [
        ".cache",
        ".hidden.jpg",
        "__MACOSX/._a.jpg",
        "jpg",
        "loop",
        "noextension",
        "notes.txt",
        "pipe.jpg",
    ]


def test_links_that_lead_nowhere_are_missing_images(tmp_path: Path) -> None:
    """As git-annex and DVC leave them: a photo that is not here must not vanish silently."""
    fill(tmp_path, ["a.jpg"])
    (tmp_path / "b.jpg").symlink_to("../annex/objects/b.jpg")
    (tmp_path / "c.jpg").symlink_to("c.jpg")
    (tmp_path / "d.txt").symlink_to("nowhere")
    (tmp_path / "e.jpg").symlink_to("a.jpg")
    (tmp_path / "f.jpg").symlink_to("a.jpg/f.jpg")
    images, reasons = read_all(open_source(str(tmp_path)))
    assert list(images) == ["a.jpg", "e.jpg"]
    assert reasons == {"b.jpg": "missing", "c.jpg": "unreadable", "f.jpg": "missing"}


def test_source_below_a_hidden_folder(tmp_path):
    """Only names below the source count: ~/.cache/photos is as good as any."""
    fill(tmp_path / ".cache/photos", ["a.jpg"])
    assert len(planned(open_source(str(tmp_path / ".cache/photos")))) == 1


def test_name_that_is_not_utf8_is_ignored(tmp_path):
    """Parquet holds UTF-8 only, and writing the plan would fail."""
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.jpg", "wb"):
        pass
    fill(tmp_path, ["a.jpg"])
    source = open_source(str(tmp_path))
    assert [entry.uri for entry in planned(source)] == [f"{tmp_path}/a.jpg"]
    assert ignored(source) == [f"{tmp_path}/\udcff\udcfe.jpg"]


def test_reads_only_what_is_wanted(tmp_path):
    fill(tmp_path, ["a.jpg", "b.jpg"])
    source = open_source(str(tmp_path))
    read = [item.image_id for entry in planned(source) for item in source.read(entry, {"b.jpg"})]
    assert read == ["b.jpg"]


def test_travels_by_pickle(tmp_path):
    fill(tmp_path, ["a.jpg"])
    source = open_source(str(tmp_path))
    copy = pickle.loads(pickle.dumps(source))
    assert only(copy, planned(source)[0]).data == b"a.jpg"


# --- what cannot be read ---


def test_file_that_vanished(tmp_path):
    fill(tmp_path, ["a.jpg", "b.jpg", "c/d.jpg"])
    source = open_source(str(tmp_path))
    entries = planned(source)
    (tmp_path / "a.jpg").unlink()
    shutil.rmtree(tmp_path / "c")
    assert only(source, entries[0]).reason == "missing"
    assert only(source, entries[1]).data == b"b.jpg"
    vanished = only(source, entries[2])
    assert (vanished.image_id, vanished.reason) == ("c/d.jpg", "missing")
    (tmp_path / "c").write_bytes(b"")
    assert only(source, entries[2]).reason == "missing"


@pytest.mark.parametrize("leave_mount_point", [True, False])
def test_source_that_vanished_is_no_quarantine(tmp_path, leave_mount_point):
    """An unmounted disk must not turn a million images into quarantine rows."""
    fill(tmp_path / "photos", ["a.jpg"])
    source = open_source(str(tmp_path / "photos"))
    [entry] = planned(source)
    shutil.rmtree(tmp_path / "photos")
    if leave_mount_point:
        (tmp_path / "photos").mkdir()
    with pytest.raises(SourceError, match=r"photos is gone or empty"):
        only(source, entry)


def test_bucket_that_vanished_is_no_quarantine():
    store = MemoryFileSystem()
    store.pipe_file("/bucket9/a.jpg", b"1")
    source = open_source("memory://bucket9")
    [entry] = planned(source)
    store.rm("/bucket9", recursive=True)
    with pytest.raises(SourceError, match="memory://bucket9 is gone or empty"):
        only(source, entry)


def test_file_without_permission(open_tmp_path, as_nobody):
    fill(open_tmp_path, ["a.jpg", "b.jpg"])
    (open_tmp_path / "a.jpg").chmod(0o000)
    source = open_source(str(open_tmp_path))
    closed, readable = planned(source)
    with as_nobody():
        image = only(source, closed)
        assert only(source, readable).data == b"b.jpg"
    assert image.reason == "unreadable"
    assert image.message == f"cannot read {open_tmp_path}/a.jpg: Permission denied"


def test_folder_in_the_place_of_a_file(tmp_path):
    fill(tmp_path, ["a.jpg"])
    source = open_source(str(tmp_path))
    [entry] = planned(source)
    (tmp_path / "a.jpg").unlink()
    (tmp_path / "a.jpg").mkdir()
    assert only(source, entry).reason == "unreadable"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        OSError(errno.EIO, "503 Slow Down"),
        PermissionError(errno.EACCES, "The provided token has expired"),
        TimeoutError(),
    ],
)
def test_failing_store_is_no_quarantine(monkeypatch, error):
    """A shard is tried again; a row would be lost for good. An expired token refuses all files."""
    store = MemoryFileSystem()
    store.pipe_file("/bucket8/a.jpg", b"1")
    source = open_source("memory://bucket8")
    [entry] = planned(source)

    def fails(self, path, *args, **kwargs):
        raise error

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fails)
    with pytest.raises(StorageError, match="cannot read memory://bucket8/a.jpg: "):
        only(source, entry)


def test_file_too_large_to_be_an_image_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 5)
    fill(tmp_path, ["1.jpg", "10.jpg"])
    source = open_source(str(tmp_path))
    kept, large = (only(source, entry) for entry in planned(source))
    assert kept.data == b"1.jpg"
    assert (large.reason, large.message) == ("too_large", "the file has 6 bytes, more than 5")


def test_source_that_cannot_be_listed(open_tmp_path, as_nobody):
    fill(open_tmp_path, ["a.jpg", "closed/b.jpg"])
    (open_tmp_path / "closed").chmod(0o700)
    source = open_source(str(open_tmp_path))
    with as_nobody(), pytest.raises(SourceError, match="closed/: Permission denied"):
        planned(source)
