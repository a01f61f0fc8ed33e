import errno
import hashlib
import os
import pickle
import re
import stat
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import StorageError
from iem_batch.storage import object_store
from iem_batch.storage.folder import Folder, FoundFile

ODD_NAMES = [
    "a b.bin",
    "50%25.bin",
    "what?.bin",
    "x#y.bin",
    "größe 雪.bin",
    "a+b=c&d.bin",
    "x?versionId=1",
    "ends in dots..",
    " ~'\"\\;",
    "two\nlines.bin",
    "[1]*",
]


@pytest.fixture(params=["local", "memory", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    """The contract holds on a local disk and on object stores."""
    if request.param == "local":
        yield Folder(str(tmp_path / "run"))
        return
    if request.param == "s3":
        yield Folder(f"{request.getfixturevalue('s3_bucket')}/run")
        return
    url = f"memory://{uuid.uuid4().hex}/run"
    yield Folder(url)
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


# --- the contract, on any storage ---


def test_write_then_read(folder: Folder):
    checksum = folder.write_bytes("a/b/c.bin", b"hello")
    assert checksum == hashlib.sha256(b"hello").hexdigest()
    assert folder.read_bytes("a/b/c.bin") == b"hello"
    assert folder.size("a/b/c.bin") == 5
    with folder.open("a/b/c.bin") as file:
        file.seek(-2, 2)
        assert file.read() == b"lo"
        file.seek(1)
        assert file.read(2) == b"el"


def test_writing_replaces(folder: Folder):
    folder.write_bytes("x", b"long content")
    folder.write_bytes("x", b"")
    assert folder.read_bytes("x") == b""
    assert folder.names("") == ["x"]


def test_what_is_there_is_not_made_again(folder: Folder):
    assert folder.create("a/x", b"first")
    assert not folder.create("a/x", b"second")
    assert folder.read_bytes("a/x") == b"first"
    assert folder.names("a") == ["x"]


def test_what_is_absent(folder: Folder):
    for act in (folder.read_bytes, folder.open, folder.size):
        with pytest.raises(FileNotFoundError):
            act("nothing")
    assert not folder.exists("nothing")
    assert folder.kind("nothing") == "absent"
    assert folder.names("nothing") == []
    assert folder.kind() == "absent"
    assert folder.is_empty()
    folder.delete("nothing")


def test_kinds(folder: Folder):
    folder.write_bytes("a/b", b"1")
    assert folder.kind() == "folder"
    assert folder.kind("a") == "folder"
    assert folder.kind("a/b") == "file"
    assert folder.exists("a")
    assert folder.exists("a/b")
    assert not folder.is_empty()


def test_names_are_of_files_directly_inside(folder: Folder):
    """A half-written hidden file or a sub-folder must not be taken for a shard."""
    for name in ("p/b", "p/a", "p/.hidden", "p/deeper/c", "q/d"):
        folder.write_bytes(name, b"1")
    assert folder.names("p") == ["a", "b"]


def test_names_see_what_others_wrote(folder: Folder):
    """Clients of object stores remember listings, and a resume would miss commit marks."""
    other = Folder(folder.url)
    folder.write_bytes("p/a", b"1")
    assert other.names("p") == ["a"]
    folder.write_bytes("p/b", b"1")
    assert other.names("p") == ["a", "b"]
    assert other.exists("p/b")


def test_delete_takes_the_files_named_and_nothing_else(folder: Folder):
    for name in ("p/a", "p/b", "p/deeper/c", "pq", "q/d"):
        folder.write_bytes(name, b"1")
    folder.delete("p/a", "q/d", "q/absent")
    assert {found.name for found in folder.walk()} == {"p/b", "p/deeper/c", "pq"}


def test_delete_takes_no_folder(folder: Folder):
    """Catches a name cut short that takes everything below it; disks say so, stores need not."""
    for name in ("p/a", "p/deeper/b"):
        folder.write_bytes(name, b"1")
    for name in ("p", "p/deeper", ""):
        with suppress(StorageError):
            folder.delete(name)
    assert {found.name for found in folder.walk()} == {"p/a", "p/deeper/b"}


def test_empty_folders_go_with_their_parents_and_others_stay(folder: Folder):
    for name in ("p/q/r/a", "p/b", "s/t/c"):
        folder.write_bytes(name, b"1")
    folder.delete("p/q/r/a")
    folder.delete_empty_folders(["p/q/r", "s/t", "absent/too"])
    assert not folder.exists("p/q")
    assert {found.name for found in folder.walk()} == {"p/b", "s/t/c"}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(folder: Folder, name: str):
    """Names are not URLs: nothing in them is a fragment, a query, an escape or a pattern."""
    folder.write_bytes(f"p/{name}", b"1")
    folder.write_bytes("p/1", b"2")
    assert folder.read_bytes(f"p/{name}") == b"1"
    assert folder.names("p") == sorted(["1", name])
    assert set(folder.walk()) == {FoundFile(f"p/{name}", 1), FoundFile("p/1", 1)}
    folder.delete(f"p/{name}")
    assert folder.names("p") == ["1"]


def test_travels_by_pickle(folder: Folder):
    folder.write_bytes("a", b"1")
    copy = pickle.loads(pickle.dumps(folder))
    assert copy == folder
    assert copy.read_bytes("a") == b"1"


# --- URLs ---


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("/data/run/", "/data/run"),
        ("/data//x/../run", "/data/run"),
        ("file:///data/run/", "/data/run"),
        ("/data/50%25", "/data/50%25"),
        ("/data/http://x", "/data/http:/x"),
        ("/", "/"),
        ("s3://bucket/run//", "s3://bucket/run"),
        ("gs://bucket", "gs://bucket"),
    ],
)
def test_url_is_normalised(url, normalised):
    assert Folder(url).url == normalised


def test_relative_path_becomes_absolute(tmp_path, monkeypatch):
    """A worker has another working directory than the driver."""
    monkeypatch.chdir(tmp_path)
    assert Folder("run").url == str(tmp_path / "run")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "ftp://host/x: ftp:// is not supported; use a local path or s3://"),
        ("zip://x::s3://bucket/a.zip", "zip:// is not supported"),
        ("s3://", "s3:// names no bucket"),
    ],
)
def test_url_that_cannot_be_used(url, message):
    with pytest.raises(StorageError, match=re.escape(message)):
        Folder(url)


def test_missing_client_says_what_to_install(monkeypatch):
    def import_fails(*args, **kwargs):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(object_store.fsspec, "filesystem", import_fails)
    object_store._client.cache_clear()
    with pytest.raises(StorageError, match=r"s3:// needs .* pip install 'iem-batch\[s3\]'"):
        Folder("s3://bucket/run").read_bytes("x")


# --- failures ---


def test_failure_of_a_store_is_one_line_with_its_cause(monkeypatch):
    """Clients of object stores raise types of their own, which cannot be imported here."""

    class SlowDownError(Exception):
        pass

    def fails(self, path, *args, **kwargs):
        raise SlowDownError("reduce your request rate")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fails)
    folder = Folder("memory://bucket/run")
    with pytest.raises(StorageError) as caught:
        folder.read_bytes("x")
    assert str(caught.value) == (
        "cannot read memory://bucket/run/x: SlowDownError: reduce your request rate"
    )
    assert isinstance(caught.value.__cause__, SlowDownError)


def test_missing_bucket_is_no_missing_file_when_writing(monkeypatch):
    def fails(self, path, *args, **kwargs):
        raise FileNotFoundError(errno.ENOENT, "The specified bucket does not exist")

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", fails)
    with pytest.raises(
        StorageError, match="cannot write memory://b/x: there is no such bucket: The"
    ):
        Folder("memory://b").write_bytes("x", b"1")


def test_parent_is_a_file(tmp_path):
    (tmp_path / "run").write_bytes(b"")
    folder = Folder(str(tmp_path / "run"))
    with pytest.raises(StorageError, match="cannot write .*/run/x: "):
        folder.write_bytes("x", b"1")
    assert folder.kind("x") == "absent"


def test_failing_write_leaves_what_was_there(tmp_path, monkeypatch):
    folder = Folder(str(tmp_path))
    folder.write_bytes("x", b"old")

    def fails(source, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(StorageError, match="cannot write .*/x: Input/output error"):
        folder.write_bytes("x", b"new")
    assert folder.read_bytes("x") == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_interrupt_leaves_no_hidden_file(tmp_path, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Folder(str(tmp_path)).write_bytes("x", b"new")
    assert os.listdir(tmp_path) == []


def test_reader_never_sees_half_a_file(tmp_path):
    """Two writers and a reader at once: each read gives one of the two contents, whole."""
    folder = Folder(str(tmp_path))
    contents = [bytes([value]) * 300_000 for value in (1, 2)]
    folder.write_bytes("x", contents[0])

    def write(data: bytes) -> None:
        for _ in range(30):
            folder.write_bytes("x", data)

    writers = [threading.Thread(target=write, args=(data,)) for data in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert folder.read_bytes("x") in contents
        assert folder.names("") == ["x"]
    for writer in writers:
        writer.join()
    assert os.listdir(tmp_path) == ["x"]


def test_file_has_the_permissions_of_the_umask(tmp_path):
    """A temporary file is private, and a colleague could not read the run."""
    umask = os.umask(0o027)
    try:
        Folder(str(tmp_path)).write_bytes("a/x", b"1")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a/x").stat().st_mode) == 0o640


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("may not mount a tmpfs, which stands for a full disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk(tiny_disk: Path):
    folder = Folder(str(tiny_disk))
    folder.write_bytes("masks/x", b"old")
    with pytest.raises(StorageError, match=r"cannot write .*/masks/x: No space left on device"):
        folder.write_bytes("masks/x", bytes(1_000_000))
    assert folder.read_bytes("masks/x") == b"old"
    assert os.listdir(tiny_disk / "masks") == ["x"]
    folder.write_bytes("masks/y", b"there is room again")


def test_permission_denied(open_tmp_path: Path, as_nobody):
    (open_tmp_path / "run").mkdir(mode=0o755)
    (open_tmp_path / "run/secret").write_bytes(b"1")
    (open_tmp_path / "run/secret").chmod(0o600)
    folder = Folder(str(open_tmp_path / "run"))
    with as_nobody():
        with pytest.raises(StorageError, match="cannot write .*/run/a/x: Permission denied"):
            folder.write_bytes("a/x", b"1")
        with pytest.raises(StorageError, match="cannot read .*/run/secret: Permission denied"):
            folder.read_bytes("secret")
        with pytest.raises(StorageError, match="cannot delete .*/run/secret: Permission denied"):
            folder.delete("secret")


# --- walking ---


def test_walk_ends_in_loops_of_links_and_lists_each_folder_once(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").write_bytes(b"12")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(".")
    (tmp_path / "z").symlink_to("a/b")
    found = set(Folder(str(tmp_path)).walk())
    assert found == {
        FoundFile("a/b/x", 2),
        FoundFile("a/b/up", None),
        FoundFile("a/self", None),
        FoundFile("z", None),
    }


def test_walk_follows_links_to_files_and_folders_elsewhere(tmp_path):
    """Data sets are often folders of links into a store."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store/x").write_bytes(b"123")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/file").symlink_to("../store/x")
    (tmp_path / "set/folder").symlink_to("../store")
    found = set(Folder(str(tmp_path / "set")).walk())
    assert found == {FoundFile("file", 3), FoundFile("folder/x", 3)}


def test_walk_names_what_is_no_file(tmp_path):
    """Opening a pipe waits for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x.jpg").write_bytes(b"1")
    found = set(Folder(str(tmp_path)).walk())
    assert found == {
        FoundFile("pipe.jpg", None),
        FoundFile("dangling.jpg", None, is_lost=True),
        FoundFile(".git", None),
    }


def test_walk_says_which_folder_is_closed(open_tmp_path: Path, as_nobody):
    """A folder that is skipped silently is images lost."""
    (open_tmp_path / "closed").mkdir(mode=0o700)
    with as_nobody(), pytest.raises(StorageError, match="cannot list .*closed/: Permission denied"):
        list(Folder(str(open_tmp_path)).walk())
