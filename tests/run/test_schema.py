import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.run import schema
from tests.pictures import textured_disc

MASKS = [
    "image_id: string",
    "uri: string",
    "width: int32",
    "height: int32",
    "mask: struct<bytes: binary, path: string>",
    "error: double",
    "error_foreground: double",
    "error_background: double",
    "area: double",
    "init_side: int32",
    "agreement: double",
    "iterations: int32",
    "status: string",
]

FROZEN = {
    "MANIFEST": [
        "uri: string",
        "start: int64",
        "stop: int64",
        "num_bytes: int64",
        "count: string",
        "offset: int64",
        "end: int64",
        "first_key: binary",
        "codec: string",
        "repeats: list<item: int64>",
        "problem: string",
    ],
    "IMAGES": ["image_id: string", "image: struct<bytes: binary, path: string>"],
    "MASKS": MASKS,
    "ENGINE_MASKS": [*MASKS, "vote: struct<bytes: binary, path: string>"],
    "FUSED": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask: struct<bytes: binary, path: string>",
        "vote: struct<bytes: binary, path: string>",
        "error: double",
        "error_foreground: double",
        "error_background: double",
        "area: double",
        "agreement: double",
        "status: string",
    ],
    "REFINED": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask: struct<bytes: binary, path: string>",
        "error: double",
        "error_foreground: double",
        "error_background: double",
        "area: double",
        "status: string",
    ],
    "PREDICTED": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask: struct<bytes: binary, path: string>",
        "probability: struct<bytes: binary, path: string>",
        "error: double",
        "error_foreground: double",
        "error_background: double",
        "area: double",
        "status: string",
    ],
    "UPSCALED": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask: struct<bytes: binary, path: string>",
        "rle: string",
        "area: double",
        "seen_left: int32",
        "seen_top: int32",
        "seen_right: int32",
        "seen_bottom: int32",
    ],
    "APPLIED": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask: struct<bytes: binary, path: string>",
        "photo_mask: struct<bytes: binary, path: string>",
        "probability: struct<bytes: binary, path: string>",
        "area: double",
    ],
    "APPLIED_FILES": [
        "image_id: string",
        "uri: string",
        "width: int32",
        "height: int32",
        "mask_file: string",
        "probability_file: string",
    ],
    "QUARANTINE": ["image_id: string", "uri: string", "error_class: string", "message: string"],
    "GONE": ["uri: string", "start: int64", "stop: int64"],
    "SELECTION": [
        "image_id: string",
        "shard: int32",
        "error: double",
        "score: double",
        "rank: int32",
    ],
    "EVALUATION": [
        "image_id: string",
        "method: string",
        "error: double",
        "accuracy: double",
        "iou: double",
        "miou: double",
        "dice: double",
        "best_accuracy: double",
        "best_iou: double",
        "best_miou: double",
        "best_dice: double",
    ],
    "CORPUS": [
        "image_id: string",
        "uri: string",
        "image: struct<bytes: binary, path: string>",
        "mask: struct<bytes: binary, path: string>",
        "error: double",
        "rank: int32",
    ],
}


@pytest.mark.parametrize("name", list(FROZEN))
def test_schema_is_frozen(name):
    """Change a table only together with schema.VERSION: other programs read it."""
    table = getattr(schema, name)
    assert [f"{field.name}: {field.type}" for field in table] == FROZEN[name]
    assert table.metadata[b"iem_batch.schema_version"] == b"3"


def test_no_schema_is_left_out():
    tables = {name for name, value in vars(schema).items() if isinstance(value, pa.Schema)}
    assert tables == set(FROZEN)


def test_image_column():
    column = schema.image_column([b"a", b"b"])
    assert column.type == schema.IMAGE
    assert column.to_pylist() == [{"bytes": b"a", "path": None}, {"bytes": b"b", "path": None}]
    assert schema.image_column([]).type == schema.IMAGE


@pytest.mark.filterwarnings("default")  # those of `datasets` are its own affair
@pytest.mark.parametrize("load", ["from_parquet", "load_dataset"])
def test_datasets_decodes_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: str):
    """Without the metadata, a user of `datasets` gets dicts of bytes."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    picture = textured_disc(seed=5)
    table = pa.table(
        {
            "image_id": ["a"],
            "uri": ["/a"],
            "image": schema.image_column([encode_pixels(picture.image)]),
            "mask": schema.image_column([encode_mask(picture.mask)]),
            "error": [0.5],
            "rank": pa.array([0], pa.int32()),
        },
        schema=schema.CORPUS,
    )
    pq.write_table(table, tmp_path / "part-00000.parquet")
    path, cache = str(tmp_path / "part-00000.parquet"), str(tmp_path / "cache")
    if load == "from_parquet":
        dataset = datasets.Dataset.from_parquet(path, cache_dir=cache)
    else:
        dataset = datasets.load_dataset("parquet", data_files=path, split="train", cache_dir=cache)
    features = dataset.features
    assert isinstance(features["image"], datasets.Image)
    assert isinstance(features["mask"], datasets.Image)
    row = dataset[0]
    np.testing.assert_array_equal(np.asarray(row["image"]), picture.image)
    np.testing.assert_array_equal(np.asarray(row["mask"]), picture.mask)
    assert (row["image_id"], row["error"], row["rank"]) == ("a", 0.5, 0)


@pytest.mark.parametrize("name", list(FROZEN))
def test_metadata_for_datasets_names_every_column(name):
    """`datasets` refuses a file whose declared features differ from its columns."""
    table = getattr(schema, name)
    info = json.loads(table.metadata[b"huggingface"])
    assert list(info["info"]["features"]) == table.names
