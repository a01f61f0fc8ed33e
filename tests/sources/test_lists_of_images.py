"""Rows that hold several images each."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import SourceError
from iem_batch.run.extend import extend_plan
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Source, open_source
from iem_batch.sources.names import Names
from iem_batch.sources.parquet_columns import id_column
from tests.sources.test_parquet import STRUCT, planned
from tests.sources.test_tar import image, read_all
from tests.steps.jobs import SETTINGS

ROWS: list[list[str | None] | None] = [["a", "b"], [], ["c", None, "d"], None, ["e"], list("fghij")]
FOUND = {
    **{f"r0/{place}": name for place, name in enumerate("ab")},
    "r2/0": "c",
    "r2/2": "d",
    "r4/0": "e",
    **{f"r5/{place}": name for place, name in enumerate("fghij")},
}
LOST = {"r1": "null", "r2/1": "null", "r3": "null"}
"""An empty list and a list that is null are an image each, which cannot be used."""


def struct(name: str | None) -> dict[str, Any] | None:
    return None if name is None else {"bytes": image(name), "path": f"{name}.jpg"}


def plain(name: str | None) -> bytes | None:
    return None if name is None else image(name)


KINDS = {
    "structs": (pa.list_(STRUCT), struct, "images"),
    "bytes": (pa.list_(pa.binary()), plain, "images"),
    "large": (pa.large_list(pa.large_binary()), plain, "images"),
    "in structs": (
        pa.list_(pa.struct([("n", pa.int32()), ("photo.jpg", STRUCT)])),
        lambda name: {"n": 1, "photo.jpg": struct(name)},
        "images.photo.jpg",
    ),
}


def write(path: Path, kind: str, rows_in_a_group: int, arrow: bool = False) -> Source:
    list_type, made, column = KINDS[kind]
    values = [None if row is None else [made(name) for name in row] for row in ROWS]
    ids = [f"r{index}" for index in range(len(ROWS))]
    table = pa.table({"images": pa.array(values, list_type), "image_id": ids})
    if arrow:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=rows_in_a_group)
    else:
        pq.write_table(table, path, row_group_size=rows_in_a_group)
    return open_source(f"{path}" if kind in ("structs", "bytes") else f"{path}#image={column}")


@pytest.mark.parametrize("arrow", [False, True])
@pytest.mark.parametrize("rows_in_a_group", [1, 4, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_an_image(tmp_path: Path, kind: str, rows_in_a_group: int, arrow: bool) -> None:
    """Also where an entry ends within a list; what is wrong costs no other image."""
    source = write(tmp_path / "x", kind, rows_in_a_group, arrow)
    assert open_source(source.url) == source
    for max_images in (1, 2, 3, 100):
        images, reasons = read_all(source, max_images)
        assert images == {key: image(name) for key, name in FOUND.items()}
        assert reasons == LOST
        sizes = [entry.stop - entry.start for entry in planned(source, max_images)]
        assert max(sizes) <= max_images
        assert sum(sizes) == len(FOUND) + len(LOST)


def test_some_of_them(tmp_path: Path) -> None:
    source = write(tmp_path / "x", "structs", 4)
    [entry] = planned(source, 100)
    found = list(source.read(entry, {"r0/1", "r5/4", "r2/1"}))
    assert [item.image_id for item in found] == ["r0/1", "r2/1", "r5/4"]
    chosen = open_source(f"{tmp_path}/x", names=Names("*/0,*/4", "r2/*"))
    for max_images in (1, 2, 100):
        images, _ = read_all(chosen, max_images)
        assert list(images) == ["r0/0", "r4/0", "r5/0", "r5/4"]


def test_repeated_rows_and_numbers_of_rows(tmp_path: Path) -> None:
    lists = pa.array([[struct("a")], [struct("b"), struct("c")]], pa.list_(STRUCT))
    pq.write_table(pa.table({"images": lists, "image_id": ["p", "p"]}), tmp_path / "a")
    pq.write_table(pa.table({"images": lists}), tmp_path / "b")
    for max_images in (1, 100):
        images, reasons = read_all(open_source(str(tmp_path)), max_images)
        names = {"p/0": "a", "p/1": "c", "b#0/0": "a", "b#1/0": "b", "b#1/1": "c"}
        assert images == {key: image(name) for key, name in names.items()}
        assert reasons == {"p/0": "duplicate"}


def test_paths_in_lists(tmp_path: Path) -> None:
    """As in Parquet so in JSON Lines, whose lists may hold objects."""
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(image(name))
    rows = [["a.jpg", "b.jpg"], [], ["c.jpg"]]
    pq.write_table(pa.table({"files": rows}), tmp_path / "x.parquet")
    expected = {"0/0": image("a"), "0/1": image("b"), "2/0": image("c")}
    source = open_source(f"{tmp_path}/x.parquet#image=files")
    assert read_all(source, 1) == (expected, {"1": "null"})
    objects = [
        {"image_id": index, "turns": [{"file": file} for file in row]}
        for index, row in enumerate(rows)
    ]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, objects)))
    for max_images in (1, 2, 100):
        found = read_all(open_source(f"{tmp_path}/x.jsonl#image=turns.file"), max_images)
        assert found == (expected, {"1": "null"})


def test_lists_of_lists_are_refused(tmp_path: Path) -> None:
    nested = pa.array([[[image("a")]]], pa.list_(pa.list_(pa.binary())))
    pq.write_table(pa.table({"x": nested}), tmp_path / "x")
    with pytest.raises(SourceError, match=r"the column x holds list<.*, or lists of these"):
        open_source(f"{tmp_path}/x#image=x")


def test_ids_are_not_taken_from_lists(tmp_path: Path) -> None:
    write(tmp_path / "x", "in structs", 4)
    with pytest.raises(SourceError, match=r"there is no column images\.n; the columns are images"):
        id_column(pq.read_schema(tmp_path / "x"), "images.n")


def test_plan_load_and_extend(tmp_path: Path) -> None:
    folder, run = tmp_path / "in", RunFolder(str(tmp_path / "run"))
    folder.mkdir()
    write(folder / "a", "structs", 4)
    planned = write_plan(run, open_source(str(folder)), PlanSettings(shard_size=4))
    assert (planned.num_images, planned.num_shards, planned.is_exact) == (13, 4, True)
    write(folder / "b", "bytes", 4)
    (folder / "b").rename(folder / "c")
    extended, change = extend_plan(run, open_source(str(folder)))
    assert change is None or change.num_new == 13
    loaded = [
        load_shard(run, shard, open_source(str(folder)), SETTINGS.decode)
        for shard in range(extended.num_shards)
    ]
    assert sum(shard.planned for shard in loaded) == 26


def test_what_hugging_face_writes(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features({"images": datasets.Sequence(datasets.Image())})
    rows = [[{"bytes": image(name), "path": None} for name in row] for row in ("ab", "c")]
    made = datasets.Dataset.from_dict({"images": rows}, features=features)
    made.to_parquet(tmp_path / "x.parquet")
    made.save_to_disk(tmp_path / "disk")
    expected = [image(name) for name in "abc"]
    for place in ("x.parquet", "disk"):
        images, reasons = read_all(open_source(f"{tmp_path}/{place}"))
        assert list(images.values()) == expected
        assert [key.rpartition("#")[2] for key in images] == ["0/0", "0/1", "1/0"]
        assert not reasons
