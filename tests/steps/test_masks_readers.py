"""The tables of a run, opened by the readers people have: the same masks in each."""

import datasets
import duckdb
import numpy as np
import pandas
import polars
import pyarrow.dataset
import pytest

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
    rows = datasets.load_dataset(run.url, split="train", cache_dir=str(tmp_path))
    assert len(rows) == len(masks)
    for row in rows:
        error, png = masks[row["image_id"], row["init_side"]]
        assert row["error"] == error
        np.testing.assert_array_equal(np.asarray(row["mask"]), decode_mask(png))


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
