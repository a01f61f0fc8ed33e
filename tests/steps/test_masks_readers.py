"""The tables of a run, opened by the readers people have: the same masks in each."""

import subprocess
import sys

import datasets
import duckdb
import numpy as np
import pandas
import polars
import pyarrow.dataset
import pyarrow.parquet
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from iem_batch.images.png import decode_mask
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from tests.steps.export.exports import make_run

Masks = dict[tuple[str, int], tuple[float, bytes]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("readers"))


@pytest.fixture(scope="module")
def masks(run: RunFolder) -> Masks:
    rows = [row for shard in range(3) for row in run.read_table(part("segment", shard)).to_pylist()]
    assert len(rows) == 24
    return by_mask(rows)


def by_mask(rows: list[dict]) -> Masks:
    return {
        (row["image_id"], row["init_side"]): (row["error"], row["mask"]["bytes"]) for row in rows
    }


def test_datasets(run: RunFolder, masks: Masks, tmp_path) -> None:
    rows = datasets.load_dataset(run.url, "segment", split="train", cache_dir=str(tmp_path))
    assert len(rows) == len(masks)
    for row in rows:
        error, png = masks[row["image_id"], row["init_side"]]
        assert row["error"] == error
        np.testing.assert_array_equal(np.asarray(row["mask"]), decode_mask(png))


def test_datasets_opens_the_fused_masks_first(run: RunFolder, tmp_path) -> None:
    """Without a name of a config: one row for each image, with its mask and the vote."""
    rows = datasets.load_dataset(run.url, split="train", cache_dir=str(tmp_path))
    table = pyarrow.dataset.dataset(run.url_of("fuse"), format="parquet").to_table()
    assert rows["image_id"][:] == table["image_id"].to_pylist()
    for row, mask in zip(rows, table["mask"].to_pylist(), strict=True):
        np.testing.assert_array_equal(np.asarray(row["mask"]), decode_mask(mask["bytes"]))
        assert row["vote"].mode == "L"


def test_iceberg_takes_the_files_as_they_are(run: RunFolder, tmp_path) -> None:
    """As on the page of outputs: a table of the files where they lie; none is copied."""
    catalog = SqlCatalog("run", uri=f"sqlite:///{tmp_path}/c.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("run")
    files = [run.url_of(f"segment/{name}") for name in run.names("segment")]
    table = catalog.create_table("run.segment", pyarrow.parquet.read_schema(files[0]))
    table.add_files(files)
    assert by_mask(table.scan().to_arrow().to_pylist()) == by_mask(
        pyarrow.dataset.dataset(files, format="parquet").to_table().to_pylist()
    )
    assert not list(tmp_path.rglob("*.parquet"))
    catalog.engine.dispose()


def test_lance(run: RunFolder, tmp_path) -> None:
    """In a process of its own: once imported, it warns of every fork."""
    code = (
        "import sys, lance, pyarrow.dataset as files\n"
        "rows = files.dataset(sys.argv[1], format='parquet')\n"
        "lance.write_dataset(rows, sys.argv[2])\n"
        "assert lance.dataset(sys.argv[2]).to_table() == rows.to_table()\n"
    )
    arguments = [run.url_of("segment"), str(tmp_path / "segment.lance")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


def test_pyarrow(run: RunFolder, masks: Masks) -> None:
    table = pyarrow.dataset.dataset(run.url_of("segment"), format="parquet").to_table()
    assert by_mask(table.to_pylist()) == masks


def test_pandas(run: RunFolder, masks: Masks) -> None:
    assert by_mask(pandas.read_parquet(run.url_of("segment")).to_dict("records")) == masks


def test_polars(run: RunFolder, masks: Masks) -> None:
    assert by_mask(polars.read_parquet(run.url_of("segment/*.parquet")).to_dicts()) == masks


def test_duckdb(run: RunFolder, masks: Masks) -> None:
    query = f"SELECT * FROM read_parquet('{run.url_of('segment/*.parquet')}')"
    with duckdb.connect() as connection:
        assert by_mask(connection.sql(query).to_arrow_table().to_pylist()) == masks


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_data(run: RunFolder, masks: Masks) -> None:
    import ray.data

    assert by_mask(ray.data.read_parquet(run.url_of("segment")).take_all()) == masks
