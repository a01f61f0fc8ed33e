import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import SourceError
from iem_batch.sources import open_source
from iem_batch.sources.folder import FolderSource
from iem_batch.sources.lmdb import LMDBSource
from iem_batch.sources.parquet import ParquetSource
from iem_batch.sources.tar import TarSource
from iem_batch.sources.url_list import URLListSource
from tests.collections_of_photos import write_lmdb

JPEG = b"\xff\xd8\xff\xe0" + bytes(60)


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def fill(folder: Path) -> Path:
    """One of each format, none with a name that says so."""
    folder.mkdir()
    write_tar(folder / "t.bin", {"a.jpg": JPEG})
    pq.write_table(pa.table({"image": [JPEG]}), folder / "p.dat")
    write_lmdb(folder / "l", {b"k": JPEG})
    (folder / "u").write_text("\n# mine\nhttps://example.org/a.jpg\n")
    (folder / "g.tar").write_bytes(b"\x1f\x8b\x08" + bytes(100))
    (folder / "i.tar").write_bytes(JPEG)
    (folder / "x.parquet").write_bytes(b"hello")
    return folder


def test_content_decides_the_format(tmp_path: Path) -> None:
    """Catches a format that is told by the extension."""
    folder = fill(tmp_path / "all")
    kinds = {"t.bin": TarSource, "p.dat": ParquetSource, "u": URLListSource, "l": LMDBSource}
    for name, kind in (kinds | {"l/data.mdb": LMDBSource}).items():
        source = open_source(str(folder / name))
        assert isinstance(source, kind)
        assert open_source(source.url) == source


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"a.x": "t.bin", "b.x": "t.bin", "preview.jpg": "i.tar", "README": "u"}, TarSource),
        ({"a.jpg": "i.tar", "b/c.png": "i.tar", "labels": "p.dat"}, FolderSource),
        ({"a": "p.dat", "b": "p.dat", "README.md": "u", "_run/x.tar": "t.bin"}, ParquetSource),
        ({"x.txt": "u"}, FolderSource),
        ({}, FolderSource),
    ],
)
def test_most_of_the_files_decide_for_a_folder(
    tmp_path: Path, files: dict[str, str], kind: type
) -> None:
    made = fill(tmp_path / "all")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((made / content).read_bytes())
    source = open_source(str(folder))
    assert isinstance(source, kind)
    assert open_source(source.url) == source


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "/nowhere does not exist$"),
        ("g.tar", "g.tar begins as gzip, but cannot be unpacked"),
        ("i.tar", "i.tar is one file; give the folder that holds the images"),
        (
            "x.parquet",
            "neither tar, zip, Parquet, LMDB nor a list of URLs or paths; it begins with b'hello'",
        ),
        (
            "u#format=xml",
            "there is no format xml; use folder, tar, zip, parquet, arrow, lmdb, urls, csv, jsonl",
        ),
        ("p.dat#id=name", "there is no column name; the columns are image"),
        ("p.dat#image=jpg", "there is no column jpg"),
    ],
)
def test_what_cannot_be_opened_says_why(tmp_path: Path, name: str, message: str) -> None:
    folder = fill(tmp_path / "all")
    with pytest.raises(SourceError, match=message):
        open_source(str(folder / name))


def test_formats_in_equal_numbers_are_not_guessed(tmp_path: Path) -> None:
    made = fill(tmp_path / "all")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("t.bin", "p.dat"):
        (folder / name).write_bytes((made / name).read_bytes())
    with pytest.raises(SourceError, match=r"several formats .*folder#format="):
        open_source(str(folder))
    assert isinstance(open_source(f"{folder}#format=tar"), TarSource)


@pytest.mark.parametrize("num_tars", [3, 21, 22, 80])
def test_tables_that_describe_archives_are_no_images(tmp_path: Path, num_tars: int) -> None:
    """img2dataset's output, however large: its tables hold URLs of images that are there."""
    for index in range(num_tars):
        name = f"{index:05d}"
        write_tar(tmp_path / f"{name}.tar", {f"{name}.jpg": JPEG})
        urls = pa.table({"url": [f"http://127.0.0.1:9/{name}.jpg"], "status": ["success"]})
        pq.write_table(urls, tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}_stats.json").write_text("{}")
    pq.write_table(urls, tmp_path / "all.parquet")
    assert isinstance(open_source(str(tmp_path)), TarSource)


def test_all_names_decide_not_the_first(tmp_path: Path) -> None:
    """A hundred texts, then tables, before the photos."""
    for index in range(100):
        (tmp_path / f"a{index}.txt").write_text("a caption")
    for index in range(70):
        pq.write_table(pa.table({"image": [JPEG]}), tmp_path / f"b{index}.parquet")
    for index in range(71):
        (tmp_path / f"c{index}.jpg").write_bytes(JPEG)
    assert isinstance(open_source(str(tmp_path)), FolderSource)
    (tmp_path / "c0.jpg").unlink()
    (tmp_path / "c1.jpg").unlink()
    assert isinstance(open_source(str(tmp_path)), ParquetSource)


@pytest.mark.parametrize("suffix", [".parquet", ".tar.parquet", ".meta"])
def test_table_beside_a_packed_archive(tmp_path: Path, suffix: str) -> None:
    """The archives become rows that say what to do; nothing is fetched from the web instead."""
    for name in ("1", "2"):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz"):
            pass
        urls = pa.table({"url": ["http://127.0.0.1:9/a.jpg"]})
        pq.write_table(urls, tmp_path / f"{name}{suffix}")
    assert isinstance(open_source(str(tmp_path)), TarSource)


def test_stores_that_are_not_there() -> None:
    with pytest.raises(SourceError, match="ftp:// is not supported"):
        open_source("ftp://example.org/photos")
    with pytest.raises(SourceError, match="memory://nobucket does not exist"):
        open_source("memory://nobucket")


def test_remote_lmdb_names_convert() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem().pipe_file("/bucket-l/data.mdb", bytes(100))
    with pytest.raises(SourceError, match="iem-batch convert"):
        open_source("memory://bucket-l")


def test_name_that_looks_like_an_option_is_a_name(tmp_path: Path) -> None:
    """Only what is known after the '#' is taken for options."""
    folder = tmp_path / "set#1?x=y"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(JPEG)
    source = open_source(str(folder))
    assert source.url == f"{folder}#format=folder"
    assert len(list(source.entries())) == 1
