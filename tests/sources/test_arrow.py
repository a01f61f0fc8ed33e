"""Arrow files, as `save_to_disk` of Hugging Face `datasets` leaves them."""

import io
import random
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import SourceError
from iem_batch.sources import open_source
from iem_batch.sources.parquet import ParquetSource
from tests.sources.test_tar import image, read_all

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_what_datasets_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written by the library itself: a folder for each split, in several files."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    png = buffer.getvalue()
    rows = {"image": [{"bytes": png, "path": None}] * 5, "label": [1, 2, 3, 4, 5]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    made = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict({"train": made, "test": made}).save_to_disk(
        str(tmp_path / "set"), num_shards={"train": 2, "test": 1}
    )
    images, reasons = read_all(open_source(str(tmp_path / "set")), 2)
    assert len(images) == 10
    assert set(images.values()) == {png}
    assert reasons == {}
    named, reasons = read_all(open_source(f"{tmp_path}/set/train#id=label"))
    assert (sorted(named), reasons) == (["1", "2", "3", "4", "5"], {})


@pytest.mark.parametrize("make", [pa.ipc.new_stream, pa.ipc.new_file])
def test_streams_and_files(tmp_path: Path, make: object) -> None:
    ids = ["b", "a", None, "c", "b"]
    images = [{"bytes": image("1"), "path": None}, None, {"bytes": None, "path": "2.jpg"}]
    images += [{"bytes": image("3"), "path": "x"}, {"bytes": image("4"), "path": None}]
    (tmp_path / "2.jpg").write_bytes(image("2"))
    table = pa.table({"photo": pa.array(images, IMAGE), "image_id": ids})
    with make(tmp_path / "any name", table.schema) as writer:  # type: ignore[operator]
        writer.write_table(table, max_chunksize=2)
    source = open_source(str(tmp_path / "any name"))
    assert isinstance(source, ParquetSource)
    assert open_source(source.url) == source
    for max_images in (1, 3, 100):
        assert read_all(source, max_images) == (
            {"b": image("1"), "2": image("2"), "c": image("3")},
            {"a": "null", "b": "duplicate"},
        )


def test_any_damage_is_a_row_or_an_image(tmp_path: Path) -> None:
    """Arrow trusts a file; what it says of places must be checked before they are read."""
    rng = random.Random(5)
    good = pa.table({"image": [image("good")]})
    buffer = io.BytesIO()
    table = pa.table({"image": pa.array([image(str(n)) for n in range(6)], pa.binary())})
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    with pa.ipc.new_stream(tmp_path / "good.arrow", good.schema) as writer:
        writer.write_table(good)
    for _ in range(300):
        data = bytearray(buffer.getvalue())
        data[rng.randrange(12, 1200)] ^= 1 << rng.randrange(8)
        (tmp_path / "x.arrow").write_bytes(
            data if rng.random() < 0.7 else data[: rng.randrange(len(data))]
        )
        source = open_source(f"{tmp_path}#format=arrow&image=image&id=")
        images, _ = read_all(source, 2)
        assert images["good.arrow#0"] == image("good")


def test_remote_arrow_names_convert() -> None:
    buffer = io.BytesIO()
    table = pa.table({"image": [image("a")]})
    with pa.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    MemoryFileSystem().pipe_file("/bucket-arrow/x.arrow", buffer.getvalue())
    with pytest.raises(
        SourceError, match=r"an Arrow file is read through memory.*iem-batch convert"
    ):
        open_source("memory://bucket-arrow")
