import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import StepMissingError, StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import QUARANTINE, SELECTION

ROWS = [{"image_id": "ä", "uri": "/ä", "error_class": "empty", "message": "no bytes"}]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def test_table_round_trip(run: RunFolder):
    table = pa.Table.from_pylist(ROWS, schema=QUARANTINE)
    run.write_table("quarantine/part-00000.parquet", table)
    assert run.read_table("quarantine/part-00000.parquet").equals(table, check_metadata=True)
    columns = run.read_table("quarantine/part-00000.parquet", columns=["uri"])
    assert columns.to_pydict() == {"uri": ["/ä"]}


def test_bytes_of_a_table_depend_on_its_rows_alone(run: RunFolder):
    """A retry must write the same file; chunks come from how rows were collected."""
    rng = np.random.default_rng(0)
    columns = {
        "image_id": [f"image-{index}" for index in range(1000)],
        "shard": pa.array(range(1000), pa.int32()),
        "init_side": pa.array([78] * 1000, pa.int32()),
        "error": rng.random(1000),
        "score": rng.random(1000),
        "rank": pa.array(range(1000), pa.int32()),
    }
    whole = pa.table(columns, schema=SELECTION)
    pieces = pa.concat_tables([whole.slice(0, 300), whole.slice(300)])
    checksums = {run.write_table(f"{i}.parquet", table) for i, table in enumerate([whole, pieces])}
    assert len(checksums) == 1


def test_data_folders_are_read_as_a_dataset(run: RunFolder, tmp_path: Path):
    """Anything but Parquet in a data folder breaks other readers."""
    for shard in range(3):
        table = pa.Table.from_pylist(ROWS, schema=QUARANTINE)
        run.write_table(layout.part("quarantine", shard), table)
        run.write_json(layout.mark("quarantine", shard), {"ok": 1})
    assert pq.read_table(tmp_path / "run/quarantine").num_rows == 3


def test_json_keeps_the_order_of_keys(run: RunFolder):
    run.write_json("x.json", {"b": 1, "a": [1, None, "ü"]})
    assert list(run.read_json("x.json").items()) == [("b", 1), ("a", [1, None, "ü"])]


def test_a_damaged_file_is_named(run: RunFolder):
    """Catches a traceback of the JSON or Parquet reader after a power cut."""
    run.write_bytes("x.json", b"{")
    run.write_bytes("x.parquet", b"PAR1")
    with pytest.raises(StorageError, match=r"/run/x.json is damaged"):
        run.read_json("x.json")
    with pytest.raises(StorageError, match=r"/run/x.parquet is damaged"):
        run.read_table("x.parquet")


def test_reading_a_table_starts_no_thread(run: RunFolder):
    """pyarrow 26 aborts one process in sixty that ends while threads of its pools wait."""
    run.write_table("x.parquet", pa.Table.from_pylist(ROWS * 9, schema=QUARANTINE))
    code = f"""
import os
import threading
import pyarrow.parquet
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import QUARANTINE

def others():
    return len(os.listdir("/proc/self/task")) - threading.active_count()

before = others()
table = RunFolder({run.url!r}).read_table("x.parquet", ["message", "image_id"])
assert table.column_names == ["message", "image_id"]
print(others() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_a_column_that_is_not_there_is_told(run: RunFolder):
    run.write_table("x.parquet", pa.Table.from_pylist(ROWS, schema=QUARANTINE))
    with pytest.raises(StorageError, match=r"x.parquet is damaged"):
        run.read_table("x.parquet", ["rank"])


def test_missing_step_names_the_command(run: RunFolder):
    with pytest.raises(
        StepMissingError, match=r"/run has no finished segment; run `iem-batch segment`"
    ):
        run.require(layout.SUCCESS, "segment")
    run.write_bytes(layout.SUCCESS, b"")
    run.require(layout.SUCCESS, "segment")


def test_how_a_table_is_written_is_pinned(run: RunFolder):
    """Catches a default of pyarrow's that changes: a run resumed under it would not be one run."""
    table = pa.Table.from_pylist(ROWS * 3, schema=QUARANTINE)
    run.write_table("x.parquet", table)
    with run.open("x.parquet") as file:
        metadata = pq.ParquetFile(file).metadata
    assert metadata.format_version == "2.6"
    assert metadata.created_by == f"parquet-cpp-arrow version {pa.__version__}"
    column = metadata.row_group(0).column(0)
    assert (column.compression, column.encodings) == ("ZSTD", ("PLAIN", "RLE", "RLE_DICTIONARY"))
    assert column.statistics is not None
