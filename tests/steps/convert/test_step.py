import io
import tarfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from iem_batch.errors import ShardsFailedError, StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary, committed, read_marks, require_summary
from iem_batch.run.plan import Plan, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import RawImage, Source, open_source
from iem_batch.steps.convert import step
from iem_batch.steps.convert.settings import ConvertSettings
from iem_batch.steps.do import do
from tests.collections_of_photos import write_lmdb, write_parquet
from tests.sources.test_tar import read_all
from tests.steps.jobs import job_at

IMAGES = {f"{n}/odd name ä~%2F.{n}": b"\xff\xd8\xff" + bytes([n]) * 999 for n in range(23)}


def planned(tmp_path: Path, source: Source) -> tuple[RunFolder, Plan]:
    out = RunFolder(str(tmp_path / "out"))
    return out, write_plan(out, source, PlanSettings(shard_size=7))


def convert(out: RunFolder, to: Any) -> Summary:
    do(job_at(out, convert=ConvertSettings(to=to)), "convert")
    return require_summary(out, "convert")


@pytest.mark.parametrize("to", ["parquet", "tar"])
def test_interrupted_conversion_is_gone_on_with(tmp_path: Path, to: Any) -> None:
    """Shards that are done are not written again, and all bytes are as without the interruption."""
    source = open_source(write_parquet(tmp_path, IMAGES))
    out, plan = planned(tmp_path, source)
    convert(out, to)
    files = {name: out.read_bytes(name) for name in out.names("")}
    assert len(files) == plan.num_shards == 4
    before = list(read_marks(out, "convert", range(4)))
    for shard, name in list(enumerate(files))[2:]:
        out.delete(name, layout.mark("convert", shard))
    convert(out, to)
    after = read_marks(out, "convert", range(4))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, False]
    assert {name: out.read_bytes(name) for name in out.names("")} == files


@pytest.mark.parametrize("to", ["parquet", "tar"])
def test_bytes_and_ids_survive(tmp_path: Path, to: Any) -> None:
    values = {f"{n:04}".encode(): data for n, data in enumerate(IMAGES.values())}
    values |= {b"0009": b"garbage", b"0010": b""}
    source = open_source(write_lmdb(tmp_path / "x", values))
    out, plan = planned(tmp_path, source)
    done = convert(out, to)
    assert (done.ok, done.quarantined) == (23, 0)
    images, reasons = read_all(open_source(out.url))
    assert images == {key.decode(): data for key, data in values.items()}
    assert reasons == {}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """An id that comes again, and a null, are in quarantine and not in the shards."""
    import pyarrow as pa

    table = pa.table({"image": [b"a", None, b"c"], "image_id": ["x", "y", "x"]})
    pq.write_table(table, tmp_path / "in.parquet")
    source = open_source(str(tmp_path / "in.parquet"))
    out, plan = planned(tmp_path, source)
    done = convert(out, "parquet")
    assert (done.ok, done.quarantined) == (1, 2)
    rows = pq.read_table(tmp_path / "out/_run/quarantine/part-00000.parquet").to_pylist()
    assert {(row["image_id"], row["error_class"]) for row in rows} == {
        ("x", "duplicate"),
        ("y", "null"),
    }
    assert read_all(open_source(out.url)) == ({"x": b"a"}, {})


def test_tar_is_a_web_dataset(tmp_path: Path) -> None:
    """One dot in a name: the key is what stands before the dot."""
    source = open_source(write_parquet(tmp_path, IMAGES))
    out, plan = planned(tmp_path, source)
    convert(out, "tar")
    with tarfile.open(tmp_path / "out/part-00000.tar") as tar:
        names = tar.getnames()
    assert names[0] == "0/odd name ä%7E%252F%2E0.jpg"
    assert all(name.count(".") == 1 for name in names)


def test_full_disk_leaves_no_half_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(write_parquet(tmp_path, IMAGES))
    out, plan = planned(tmp_path, source)
    write_bytes = RunFolder.write_bytes

    def fails(self: RunFolder, name: str, data: bytes) -> str:
        if name == "part-00002.parquet":
            raise StorageError("No space left on device")
        return write_bytes(self, name, data)

    monkeypatch.setattr(RunFolder, "write_bytes", fails)
    with pytest.raises(ShardsFailedError, match="No space left"):
        convert(out, "parquet")
    assert out.names("") == [f"part-0000{shard}.parquet" for shard in (0, 1, 3)]
    assert committed(out, "convert") == {0, 1, 3}


def test_row_groups_are_bound_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the images are given up as they are written: a shard is in memory once, not twice."""
    monkeypatch.setattr(step, "BYTES_IN_A_GROUP", 10)
    sizes = [4] * 4 + [0] * 65
    images = [RawImage(image_id=str(n), uri="", data=bytes(size)) for n, size in enumerate(sizes)]
    file = pq.ParquetFile(io.BytesIO(step.parquet_bytes(images)))
    assert images == []
    rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert rows == [3, 64, 2]  # 4 + 4 + 4 bytes; one of 4 and 63 of none; what is left
