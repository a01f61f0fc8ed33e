import io
import os
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from iem_batch.errors import SourceError
from iem_batch.sources import Entry, Source, UnreadableImage, open_source, parquet_table
from tests.sources.test_tar import image, read_all

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def structs(*names: str | None) -> pa.Array:
    return pa.array(
        [None if name is None else {"bytes": image(name), "path": name} for name in names], STRUCT
    )


def write(path: Path, rows_in_a_group: int = 3, **columns: Any) -> Source:
    pq.write_table(pa.table(columns), path, row_group_size=rows_in_a_group)
    return open_source(str(path))


def planned(source: Source, max_images: int) -> list[Entry]:
    return [item for item in source.entries(max_images) if isinstance(item, Entry)]


@pytest.mark.parametrize("kind", [STRUCT, pa.binary(), pa.large_binary(), pa.binary_view()])
def test_column_types(tmp_path: Path, kind: pa.DataType) -> None:
    """What Hugging Face, pandas and polars write."""
    values = structs("a", "b") if kind == STRUCT else pa.array([image("a"), image("b")], kind)
    source = write(tmp_path / "x", image=values)
    assert read_all(source) == ({"0": image("a"), "1": image("b")}, {})


@pytest.mark.parametrize(
    ("rows", "max_images", "expected"),
    [
        ([3, 3, 3], 6, [(0, 6), (6, 9)]),
        ([3, 3, 3], 5, [(0, 3), (3, 6), (6, 9)]),
        ([9], 4, [(0, 4), (4, 8), (8, 9)]),
        ([2, 9, 2], 4, [(0, 2), (2, 6), (6, 10), (10, 13)]),
        ([0, 3, 0], 4, [(0, 3)]),
        ([], 4, []),
    ],
)
def test_ranges_meet_row_groups(
    tmp_path: Path, rows: list[int], max_images: int, expected: list[tuple[int, int]]
) -> None:
    """A row group that is cut is read again for each part, so only large ones are."""
    names = iter(f"{index}" for index in range(100))
    with pq.ParquetWriter(tmp_path / "x", pa.schema([("image", STRUCT)])) as writer:
        for count in rows:
            table = pa.table({"image": structs(*(next(names) for _ in range(count)))})
            writer.write_table(table, row_group_size=max(1, count))
    source = open_source(str(tmp_path / "x"))
    assert [(e.start, e.stop) for e in planned(source, max_images)] == expected
    images, _ = read_all(source, max_images)
    assert images == {str(n): image(str(n)) for n in range(sum(rows))}


def test_pages_of_a_large_row_group_are_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyarrow puts a million rows into a row group: it must not be held in memory."""
    names = [f"{n}" for n in range(200)]
    source = write(tmp_path / "x", 1000, image=structs(*names))
    whole = read_all(source, 30)
    assert list(whole[0]) == names
    monkeypatch.setattr(parquet_table, "_MAX_BUFFERED_BYTES", 0)
    assert read_all(source, 30) == whole


def test_ids_from_a_column(tmp_path: Path) -> None:
    source = write(tmp_path / "x", image=structs("a", "b", "c"), image_id=["x", None, "z"])
    assert list(read_all(source)[0]) == ["x", "1", "z"]
    numbers = write(tmp_path / "y", image=structs("a", "b"), number=[7, -1])
    assert list(read_all(numbers)[0]) == ["0", "1"]
    assert list(read_all(open_source(f"{tmp_path}/y#id=number"))[0]) == ["7", "-1"]
    assert list(read_all(open_source(f"{tmp_path}/y#id=image.path"))[0]) == ["a", "b"]
    assert list(read_all(open_source(f"{tmp_path}/x#id="))[0]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array(["a", None, "a b"]).dictionary_encode(), ["a", "1", "a b"]),
        (pa.array([b"a", None, b"\xff\x00"]), ["a", "1", "0xff00"]),
        (pa.array([7.0, None, -0.5]), ["7", "1", "-0.5"]),
        (pa.array([7.0, float("nan"), 2.0**60]), ["7", "1", "1152921504606846976"]),
        (pa.array([7, None, 1 << 62], pa.int64()), ["7", "1", "4611686018427387904"]),
        (pa.array([Decimal(7), None, Decimal("1.50")], pa.decimal128(9, 2)), ["7", "1", "1.50"]),
        (pa.array([b"id", b"ie", b"if"], pa.binary(2)), ["id", "ie", "if"]),
        (pa.array([7, None, 9], pa.int8()).dictionary_encode(), ["7", "1", "9"]),
        (pa.array(["x", None, "z"], pa.string_view()), ["x", "1", "z"]),
    ],
    ids=str,
)
def test_ids_of_any_type_are_text(tmp_path: Path, values: pa.Array, expected: list[str]) -> None:
    """Catches ids that silently become numbers of rows, and `7.0` for what was 7 before a NaN."""
    source = write(tmp_path / "x", image=structs("a", "b", "c"), image_id=values)
    assert list(read_all(source)[0]) == expected
    assert list(read_all(source, 1)[0]) == expected


@pytest.mark.parametrize("values", [[["a"]], [True], [{"a": "b"}], [datetime(2020, 1, 1)]])
def test_ids_of_no_use_are_refused(tmp_path: Path, values: list[Any]) -> None:
    with pytest.raises(SourceError, match=r"image_id holds .*; ids are text, bytes or numbers"):
        write(tmp_path / "x", image=structs("a"), image_id=values)
    assert list(read_all(open_source(f"{tmp_path}/x#id="))[0]) == ["0"]


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    """Nobody checks what a writer puts there."""
    odd = pa.array([b"a", b"\xffb"]).view(pa.string())
    source = write(tmp_path / "x", image=structs("a", "b"), image_id=odd)
    assert list(read_all(source)[0]) == ["a", "\\xffb"]
    path = pa.StructArray.from_arrays(
        [pa.array([image("a"), None]), odd], fields=[pa.field(f.name, f.type) for f in STRUCT]
    )
    assert read_all(write(tmp_path / "y", image=path)) == ({"0": image("a")}, {"1": "missing"})


def test_names_of_columns_with_dots(tmp_path: Path) -> None:
    """WebDataset's names of fields, and structs in structs."""
    dotted = write(tmp_path / "x", **{"rgb.jpg": structs("a", "b"), "__key__": ["A", "B"]})
    assert read_all(dotted)[0] == {"0": image("a"), "1": image("b")}
    assert open_source(dotted.url) == dotted
    sizes = [entry.num_bytes for entry in planned(dotted, 1)]
    assert sum(sizes) >= 700
    inner = pa.StructArray.from_arrays([structs("c", None), pa.array(["C", "D"])], ["photo", "id"])
    table = {"a.b": pa.StructArray.from_arrays([inner], ["s.t"]), "a": [1, 2]}
    pq.write_table(pa.table(table), tmp_path / "y")
    nested = open_source(f"{tmp_path}/y#image=a.b.s.t.photo&id=a.b.s.t.id")
    assert read_all(nested) == ({"C": image("c")}, {"D": "null"})
    with pytest.raises(SourceError, match=r"there is no column a.b.photo; the columns are a.b, a$"):
        open_source(f"{tmp_path}/y#image=a.b.photo")


@pytest.mark.parametrize("name", ["a&b", "a&id=b", "100%", "50%25", "a#b", "a=b", "ä b"])
def test_any_name_of_a_column(tmp_path: Path, name: str) -> None:
    """Catches a name that the plan's URL of the source does not give back."""
    source = write(tmp_path / "x", **{name: [image("a")], "image_id": ["A"]})
    assert read_all(source)[0] == {"A": image("a")}
    assert open_source(source.url) == source


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([structs("a"), structs("b")], names=["image", "image"])
    pq.write_table(table, tmp_path / "x")
    with pytest.raises(SourceError, match="2 columns have the name image"):
        open_source(str(tmp_path / "x"))


def test_files_of_a_folder_differ_in_their_columns(tmp_path: Path) -> None:
    """One without ids has numbers of rows, one without images is a row, others are as they are."""
    write(tmp_path / "a.parquet", image=structs("a"))
    write(tmp_path / "b.parquet", image=structs("b", "c"), image_id=[7, 8])
    write(tmp_path / "c.parquet", image=structs("d"), image_id=["7"])
    pq.write_table(pa.table({"photo": structs("e"), "image_id": ["E"]}), tmp_path / "d.parquet")
    pq.write_table(pa.table({"image": structs("f"), "image_id": [[1]]}), tmp_path / "e.parquet")
    images, reasons = read_all(open_source(str(tmp_path)))
    assert images == {"a.parquet#0": image("a"), "7": image("b"), "8": image("c")}
    assert reasons == {"7": "duplicate", "d.parquet": "unreadable", "e.parquet": "unreadable"}
    named, reasons = read_all(open_source(f"{tmp_path}#id=image.path"))
    assert list(named) == ["a", "b", "c", "d", "f"]


def named(*paths: str | None) -> pa.Array:
    return pa.array([{"bytes": None, "path": path} for path in paths], STRUCT)


def test_images_of_which_only_the_path_is_stored(tmp_path: Path) -> None:
    """What `datasets` writes for photos on a disk; no other place is looked into."""
    inside, outside = tmp_path / "set", tmp_path / "other"
    (inside / "photos").mkdir(parents=True)
    outside.mkdir()
    (inside / "photos/a.jpg").write_bytes(image("a"))
    (outside / "b.jpg").write_bytes(image("b"))
    (outside / "secret").write_bytes(b"secret")
    (inside / "link.jpg").symlink_to("../other/b.jpg")
    os.mkfifo(inside / "pipe.jpg")
    paths = {
        "photos/a.jpg": image("a"),
        "./photos/../photos/a.jpg": image("a"),
        f"{outside}/b.jpg": image("b"),
        "link.jpg": image("b"),
        "gone.jpg": "missing",
        "photos/a.jpg/x.jpg": "missing",
        "../other/b.jpg": "unsafe_path",
        "photos/../../other/b.jpg": "unsafe_path",
        f"{outside}/secret": "unsafe_path",
        "/dev/zero": "unsafe_path",
        "pipe.jpg": "unreadable",
        "photos": "unreadable",
        "": "unsafe_path",
        "https://127.0.0.1:9/a.jpg": "not_a_file",
        "s3://bucket/a.jpg": "not_a_file",
        "zip://a.jpg::photos.zip": "not_a_file",
        "a\0.jpg": "not_a_file",
    }
    source = write(inside / "x.parquet", image=named(*paths), image_id=list(paths))
    images, reasons = read_all(source)
    assert images | reasons == paths
    [entry] = planned(source, 100)
    [lost] = source.read(entry, {"gone.jpg"})
    assert isinstance(lost, UnreadableImage)
    assert "has no bytes, only the path gone.jpg: there is no" in lost.message


def test_remote_table_names_no_file(tmp_path: Path) -> None:
    """A table from elsewhere must not read this machine's files, nor its neighbours."""
    (tmp_path / "a.jpg").write_bytes(image("a"))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": named(f"{tmp_path}/a.jpg", "b.jpg")}), buffer)
    store = MemoryFileSystem()
    store.pipe_file("/bucket-p/x.parquet", buffer.getvalue())
    store.pipe_file("/bucket-p/b.jpg", image("b"))
    images, reasons = read_all(open_source("memory://bucket-p/x.parquet"))
    assert (images, reasons) == ({}, {"0": "null", "1": "null"})


def test_what_hugging_face_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    for name in "ab":
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.jpg")
    files = [f"{tmp_path}/{name}.jpg" for name in "ab"]
    made = datasets.Dataset.from_dict({"image": files}).cast_column("image", datasets.Image())
    made.to_parquet(tmp_path / "x.parquet")
    images, reasons = read_all(open_source(f"{tmp_path}/x.parquet"))
    assert images == {str(row): Path(file).read_bytes() for row, file in enumerate(files)}
    assert reasons == {}


def test_repeated_ids_across_files(tmp_path: Path) -> None:
    """The first stays, also when the other is in another file and range."""
    write(tmp_path / "b.parquet", image=structs("b", "c", "d"), image_id=["q", "p", "r"])
    write(tmp_path / "a.parquet", image=structs("a", "x"), image_id=["p", "p"])
    for max_images in (1, 2, 100):
        images, reasons = read_all(open_source(str(tmp_path)), max_images)
        assert images == {"p": image("a"), "q": image("b"), "r": image("d")}
        assert reasons == {"p": "duplicate"}


def test_null_images_and_rows_of_several_files(tmp_path: Path) -> None:
    no_bytes = pa.array([{"bytes": None, "path": None}], STRUCT)
    write(tmp_path / "a", image=structs("a", None, "c"))
    write(tmp_path / "b", image=no_bytes)
    images, reasons = read_all(open_source(str(tmp_path)))
    assert list(images) == ["a#0", "a#2"]
    assert reasons == {"a#1": "null", "b#0": "null"}


def test_file_that_cannot_be_read_is_one_row(tmp_path: Path) -> None:
    """A truncated file, another schema, another type, and no Parquet at all."""
    write(tmp_path / "a.parquet", image=structs("a"))
    write(tmp_path / "b.parquet", image=structs("b"))
    pq.write_table(pa.table({"image": [1, 2, 3]}), tmp_path / "d.parquet")
    cut = (tmp_path / "a.parquet").read_bytes()[:-20]
    (tmp_path / "c.parquet").write_bytes(cut)
    pq.write_table(pa.table({"photo": structs("e")}), tmp_path / "e.parquet")
    (tmp_path / "f.parquet").write_bytes(b"hello")
    source = open_source(str(tmp_path))
    images, reasons = read_all(source)
    assert images == {"a.parquet#0": image("a"), "b.parquet#0": image("b")}
    assert reasons == {f"{name}.parquet": "unreadable" for name in "cdef"}
    problems = [entry.problem or "" for entry in planned(source, 9)]
    assert "column image holds int64" in problems[3]
    assert "no column image; the columns are photo" in problems[4]


def test_damaged_page_costs_what_is_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    pq.write_table(
        pa.table({"image": structs(*"abcdef")}), path, row_group_size=2, compression="zstd"
    )
    where = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[where + 20 : where + 60] = b"\xff" * 40
    path.write_bytes(data)
    images, reasons = read_all(open_source(str(path)), 2)
    assert {"0", "1", "4", "5"} <= images.keys()
    assert images.keys() | reasons.keys() == {str(n) for n in range(6)}


def test_wanted_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a read of row groups that hold nothing wanted."""
    source = write(tmp_path / "x", image=structs(*"abcdefgh"), image_id=list("ABCDEFGH"))
    [entry] = planned(source, 100)
    groups = []
    batches = parquet_table.ParquetTable._batches

    def spied(self: Any, column: Any, leaves: Any, some: list[int], size: int) -> Any:
        groups.append((".".join(leaves[0]), list(some)))
        return batches(self, column, leaves, some, size)

    monkeypatch.setattr(parquet_table.ParquetTable, "_batches", spied)
    assert [item.image_id for item in source.read(entry, {"E", "H", "other"})] == ["E", "H"]
    assert groups == [("image_id", [0, 1, 2]), ("image.bytes", [1, 2])]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"a": pa.array([b"1"]), "b": pa.array([b"2"])},
            r"any of a, b could be the images.*a \(bi",
        ),
        ({"n": pa.array([1]), "s": pa.array(["x"])}, r"no column seems to hold.*n \(int64\), s"),
    ],
)
def test_unclear_columns_are_listed(tmp_path: Path, columns: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        write(tmp_path / "x", **columns)


def test_clear_columns(tmp_path: Path) -> None:
    both = {"image": structs("a"), "mask": structs("b")}
    assert read_all(write(tmp_path / "x", **both))[0] == {"0": image("a")}
    assert read_all(open_source(f"{tmp_path}/x#image=mask"))[0] == {"0": image("b")}


def test_file_that_changed_fails_the_shard(tmp_path: Path) -> None:
    source = write(tmp_path / "x", image=structs("a", "b"))
    [entry] = planned(source, 100)
    write(tmp_path / "x", image=structs("a"))
    with pytest.raises(SourceError, match="x has changed since the run was planned"):
        list(source.read(entry))
    (tmp_path / "x").unlink()
    with pytest.raises(SourceError, match="x is gone"):
        list(source.read(entry))
