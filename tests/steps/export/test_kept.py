"""Columns of the source (--keep) in the masks of fuse, in corpora, and in what `convert` writes."""

import csv
import io
import json
import tarfile
from datetime import datetime
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from iem_batch.cli import main
from tests.calling import Call
from tests.images.broken import encoded
from tests.pictures import textured_disc
from tests.sources.test_parquet import STRUCT
from tests.test_cli import QUICK

NAMES = [f"p{index}" for index in range(5)]
KEPT = {
    "caption": [f"caption, {index}\n" for index in range(4)] + [None],
    "label": [0, 1, 1, 0, 1],
    "boxes": [[[1.5, 2.0]], [], None, [[1.0]], [[2.0]]],
    "taken": [datetime(2020, 1, day) for day in range(1, 6)],
}
LABELS = datasets.ClassLabel(names=["cat", "dog"])
KEEP = ",".join(KEPT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with columns that are kept, up to topk."""
    root = tmp_path_factory.mktemp("kept")
    images = [Image.fromarray(textured_disc(index).image) for index in range(5)]
    encoded_images = [{"bytes": encoded(image, "PNG"), "path": None} for image in images]
    table = pa.table(
        {"image": pa.array(encoded_images, STRUCT), "image_id": NAMES, **KEPT, "other": [1] * 5}
    )
    features = {"info": {"features": {"label": LABELS_AS_STORED, "other": {"_type": "Value"}}}}
    table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, root / "x.parquet", row_group_size=2)
    source, made = str(root / "x.parquet"), str(root / "run")
    main(["segment", source, made, "--local", "--keep", KEEP, *QUICK, "--shard-size", "2"])
    main(["fuse", made, "--local"])
    main(["topk", made, "--local", "-k", "4"])
    return root / "run"


LABELS_AS_STORED = {"names": ["cat", "dog"], "_type": "ClassLabel"}


def rows(tables: list[Path]) -> dict[str, dict[str, Any]]:
    """Id -> what is kept of it."""
    found = [row for path in tables for row in pq.read_table(path).to_pylist()]
    return {row["image_id"]: {name: row[name] for name in KEPT} for row in found}


def expected(ids: Any) -> dict[str, dict[str, Any]]:
    return {
        name: {key: values[index] for key, values in KEPT.items()}
        for index, name in enumerate(NAMES)
        if name in ids
    }


def test_the_one_mask_of_each_photo_has_them(run: Path) -> None:
    tables = sorted((run / "fuse").glob("*.parquet"))
    assert len(tables) == 3
    assert rows(tables) == expected(NAMES)
    assert "caption" not in pq.read_schema(run / "segment/part-00000.parquet").names
    labels = datasets.load_dataset("parquet", data_files=str(run / "fuse/*.parquet"))["train"]
    assert labels.features["label"] == LABELS
    assert "other" not in labels.features


def test_corpus_of_parquet(run: Path, call: Call, tmp_path: Path) -> None:
    """What SegNet reads and what other tools do; types and names of classes stay."""
    for folder in (run / "export", tmp_path / "corpus"):
        to = [] if folder.parent == run else ["--to", folder, "--format", "parquet"]
        assert call("export", run, "--local", *to)[0] == 0
        found = rows(sorted(folder.glob("*.parquet")))
        assert len(found) == 4
        assert found == expected(found)
    features = datasets.load_dataset(str(tmp_path / "corpus"))["train"].features
    assert features["label"] == LABELS
    assert features["taken"] == datasets.Value("timestamp[us]")


def test_lists_beside_the_files(run: Path, call: Call, tmp_path: Path) -> None:
    """CSV has lists as JSON and times as text; JSON has what it can hold."""
    for name in ("folder", "webdataset", "coco"):
        status, _, error = call("export", run, "--local", "--format", name, "--to", tmp_path / name)
        assert status == 0, error
    text = (tmp_path / "folder/train/metadata.csv").read_text()
    lines = {row["image_id"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert len(lines) == 4
    for name, values in expected(lines).items():
        boxes = "" if values["boxes"] is None else json.dumps(values["boxes"])
        found = [lines[name][key] for key in KEPT]
        assert found == [values["caption"] or "", str(values["label"]), boxes, f"{values['taken']}"]
    with tarfile.open(tmp_path / "webdataset/train-00000.tar") as tar:
        members = [tar.extractfile(name) for name in tar.getnames() if name.endswith(".json")]
        found = [json.load(member) for member in members if member]
    coco = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    for about, key in [(row, "image_id") for row in found] + [
        (image, "iem_image_id") for image in coco["images"]
    ]:
        values = expected([about[key]])[about[key]] | {"taken": about["taken"]}
        assert {name: about[name] for name in KEPT} == values


def test_another_choice_is_another_plan(run: Path, call: Call) -> None:
    source = run.parent / "x.parquet"
    status, _, error = call("plan", source, run, "--keep", "caption", "--shard-size", "2")
    assert status == 1
    assert f"keep: '{KEEP}' before, 'caption' now" in error


def test_converted_tables_and_tars(run: Path, call: Call, tmp_path: Path) -> None:
    """Parquet has the columns, a tar a KEY.json beside each image, of which --keep takes fields."""
    source = run.parent / "x.parquet"
    arguments = ("convert", source, tmp_path / "p", "--local", "--keep", KEEP, "--to")
    assert call(*arguments, "parquet")[0] == 0
    assert rows([tmp_path / "p/part-00000.parquet"]) == expected(NAMES)
    status, _, error = call(
        "convert", source, tmp_path / "t", "--local", "--keep", KEEP, "--to=tar"
    )
    assert status == 0, error
    keep = "json.caption,json.label"
    status, _, error = call(
        "convert", tmp_path / "t", tmp_path / "q", "--local", "--keep", keep, "--to=parquet"
    )
    assert status == 0, error
    table = pq.read_table(tmp_path / "q/part-00000.parquet")
    assert table["json.caption"].to_pylist() == KEPT["caption"]
    assert table["json.label"].to_pylist() == ["0", "1", "1", "0", "1"]
