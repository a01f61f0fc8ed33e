"""Columns of a source that come with its images."""

import io
import json
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import SettingsError, SourceError
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, RawImage, Source, open_source
from tests.sources.test_parquet import STRUCT, structs
from tests.sources.test_tar import image


def kept(source: Source, max_images: int = 100) -> dict[str, tuple[Any, ...]]:
    """Id -> what is kept of an image."""
    entries = [item for item in source.entries(max_images) if isinstance(item, Entry)]
    items = [item for entry in entries for item in source.read(entry)]
    return {item.image_id: item.kept for item in items if isinstance(item, RawImage)}


def opened(place: object, *keep: str) -> Source:
    return open_source(f"{place}", keep=keep)


# --- Parquet and Arrow ---


COLUMNS = {
    "image": structs("a", None, "c"),
    "image_id": ["x", "y", "z"],
    "caption": ["one, two", None, 'q"'],
    "label": pa.array([1, 2, None], pa.int16()),
    "boxes": pa.array([[[1.5, 2.0]], [], None], pa.list_(pa.list_(pa.float32()))),
    "meta": pa.array([{"at": datetime(2020, 1, 2), "ok": True}, None, {"at": None, "ok": False}]),
    "kind": pa.array(["b", "a", "b"]).dictionary_encode(),
}


@pytest.mark.parametrize("arrow", [False, True])
def test_parquet_and_arrow_keep_types(tmp_path: Path, arrow: bool) -> None:
    table = pa.table(COLUMNS)
    if arrow:
        with pa.ipc.new_stream(tmp_path / "x", table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        pq.write_table(table, tmp_path / "x", row_group_size=2)
    source = opened(tmp_path / "x", "label", "caption", "boxes", "meta.at", "kind")
    assert source.kept.equals(
        pa.schema(
            [
                ("label", pa.int16()),
                ("caption", pa.string()),
                ("boxes", table.schema.field("boxes").type),
                ("meta.at", pa.timestamp("us")),
                ("kind", pa.string()),
            ]
        )
    )
    for max_images in (1, 2, 100):
        assert kept(source, max_images) == {
            "x": (1, "one, two", [[1.5, 2.0]], datetime(2020, 1, 2), "b"),
            "z": (None, 'q"', None, None, "b"),
        }
    assert kept(opened(tmp_path / "x")) == {"x": (), "z": ()}


def test_files_of_a_folder(tmp_path: Path) -> None:
    """One that lacks the column has null; a narrower type fits, another one is refused at once."""
    pq.write_table(
        pa.table({"image": structs("a"), "n": pa.array([1], pa.int64())}), tmp_path / "a"
    )
    pq.write_table(pa.table({"image": structs("b"), "n": pa.array([2], pa.int8())}), tmp_path / "b")
    pq.write_table(pa.table({"image": structs("c")}), tmp_path / "c")
    assert kept(opened(tmp_path, "n")) == {"a#0": (1,), "b#0": (2,), "c#0": (None,)}
    pq.write_table(pa.table({"image": structs("d"), "n": ["x"]}), tmp_path / "d")
    with pytest.raises(SettingsError, match=r"plan\.keep: n is string in .*/d, and int64 in the"):
        kept(opened(tmp_path, "n"))
    assert len(kept(opened(tmp_path))) == 4


def test_images_of_a_list_share_what_their_row_has(tmp_path: Path) -> None:
    lists = pa.array([[{"bytes": image("a")}, {"bytes": image("b")}], None], pa.list_(STRUCT))
    pq.write_table(pa.table({"images": lists, "caption": ["p", "q"]}), tmp_path / "x")
    for max_images in (1, 100):
        assert kept(opened(tmp_path / "x", "caption"), max_images) == {"0/0": ("p",), "0/1": ("p",)}


def test_damaged_text_is_null_or_escaped(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(
        1, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")
    )
    columns = {"image": structs("a"), "s": bad, "in": pa.StructArray.from_arrays([bad], ["t"])}
    pq.write_table(pa.table(columns), tmp_path / "x")
    assert kept(opened(tmp_path / "x", "s", "in")) == {"0": ("\\xff", None)}


# --- lists ---


@pytest.mark.parametrize("name", ["l.csv", "l.csv.gz", "l.jsonl"])
def test_lists_keep_text(tmp_path: Path, name: str) -> None:
    import gzip

    for file in "ab":
        (tmp_path / f"{file}.jpg").write_bytes(image(file))
    text = 'path,caption,n\na.jpg,"x, ""y""\nz",1\nmissing.jpg,m,2\nb.jpg,,\n'
    expected: dict[str, tuple[Any, ...]] = {"a.jpg": ('x, "y"\nz', "1"), "b.jpg": ("", "")}
    if name == "l.jsonl":
        rows = [{"path": "a.jpg", "caption": "é", "n": [1, {"a": None}]}, {"path": "b.jpg", "n": 2}]
        text = "\n".join(map(json.dumps, rows))
        expected = {"a.jpg": ("é", '[1, {"a": null}]'), "b.jpg": (None, "2")}
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    source = opened(tmp_path / name, "caption", "n")
    assert source.kept.equals(pa.schema([("caption", pa.string()), ("n", pa.string())]))
    for max_images in (1, 100):
        assert kept(source, max_images) == expected


# --- tars ---


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


SAMPLES = {
    "s/1.cls": b"3\n",
    "s/1.jpg": image("a"),
    "s/1.json": b'{"caption": "one", "n": 7, "more": {"x": [1]}}',
    "s/1.seg.png": image("b"),
    "s/1.txt": "é ü".encode(),
    "s/2.json": b"no JSON",
    "s/2.jpg": image("c"),
    "s/3.jpg": image("d"),
    "t/1.jpg": image("e"),
    "t/1.txt": b"other folder",
    "t/1.json": b'{"caption": null}',
}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_what_lies_beside_an_image(tmp_path: Path, name: str) -> None:
    """Before it or behind it, for all images of its sample and for no other; as text."""
    write_tar(tmp_path / name, SAMPLES)
    source = opened(tmp_path / name, "txt", "json.caption", "json.more.x", "cls", "json.n")
    sample = ("é ü", "one", "[1]", "3", "7")
    nothing = (None,) * 5
    for max_images in (1, 2, 3, 100):
        assert kept(source, max_images) == {
            "s/1.jpg": sample,
            "s/1.seg.png": sample,
            "s/2.jpg": nothing,
            "s/3.jpg": nothing,
            "t/1.jpg": ("other folder", None, None, None, None),
        }
    images = {item.image_id for entry in source.entries(2) for item in source.read(entry)}
    assert len(images) == 5
    assert kept(opened(tmp_path / name)).keys() == images


def test_many_images_of_one_name_up_to_a_dot(tmp_path: Path) -> None:
    """They are no sample of a size that a shard could not have."""
    write_tar(
        tmp_path / "x.tar", {f"i.{n:03d}.jpg": image("a") for n in range(150)} | {"i.txt": b"t"}
    )
    source = opened(tmp_path / "x.tar", "txt")
    entries = [item for item in source.entries(16) if isinstance(item, Entry)]
    assert max(entry.stop - entry.start for entry in entries) <= 64
    assert len(kept(source, 16)) == 150


# --- what is said ---


@pytest.mark.parametrize(
    ("place", "keep", "message"),
    [
        ("x.parquet", "capt", r"there is no column capt; the columns are image, caption"),
        ("l.csv", "capt", r"there is no column capt; the columns are path, caption"),
        ("l.jsonl", "capt", r"there is no column capt; the columns are path, caption"),
        ("x.tar", "json.b", r"there is no json\.b beside the images; there are json, json\.a"),
        ("y.tar", "txt", r"there is no txt beside the images; there is nothing"),
        ("l.txt", "caption", r"l\.txt has no columns; --keep takes those of"),
        ("folder", "caption", r"folder has no columns; --keep takes those of"),
    ],
)
def test_no_such_column(tmp_path: Path, place: str, keep: str, message: str) -> None:
    """One line says which there are."""
    pq.write_table(pa.table({"image": structs("a"), "caption": ["x"]}), tmp_path / "x.parquet")
    (tmp_path / "l.csv").write_text("path,caption\na.jpg,x\n")
    (tmp_path / "l.jsonl").write_text('{"path": "a.jpg", "caption": "x"}\n')
    (tmp_path / "l.txt").write_text("https://a/b.jpg\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jpg").write_bytes(image("a"))
    write_tar(tmp_path / "x.tar", {"1.jpg": image("a"), "1.json": b'{"a": 1}'})
    write_tar(tmp_path / "y.tar", {"1.jpg": image("a")})
    run = RunFolder(str(tmp_path / "run"))
    with pytest.raises(SourceError, match=message):
        write_plan(run, opened(tmp_path / place, keep), PlanSettings(keep=keep))


@pytest.mark.parametrize("keep", ["error", "caption,caption"])
def test_names_that_are_taken(tmp_path: Path, keep: str) -> None:
    columns = {"image": structs("a"), "caption": ["x"], "error": [1.0]}
    pq.write_table(pa.table(columns), tmp_path / "x")
    source = opened(tmp_path / "x", *keep.split(","))
    with pytest.raises(SettingsError, match=r"plan\.keep: there is a column \w+ in the tables"):
        write_plan(RunFolder(str(tmp_path / "run")), source, PlanSettings(keep=keep))
