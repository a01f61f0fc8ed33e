"""A whole run, and each way in which it can be less."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import SUCCESS, mark, part
from iem_batch.run.marks import StepRecord, read_mark, write_mark, write_record
from iem_batch.sources import open_source
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.tools.verify import check
from tests.steps.jobs import job_at

Segmented = Callable[..., SegmentStep]


@pytest.fixture
def run(segmented: Segmented, picture_folder: Path) -> RunFolder:
    """Twelve pictures and a broken file, in shards of five."""
    (picture_folder / "disc_099.png").write_bytes(b"")
    return segmented(shard_size=5).run


def findings(run: RunFolder, source: Path | None = None) -> list[str]:
    opened = None if source is None else open_source(str(source))
    return check(job_at(run), opened).findings.lines()


def rewrite(run: RunFolder, name: str, rows: list[dict], in_mark: bool = True) -> None:
    """Give a file other rows, and its mark the new checksum, so that only the rows are wrong."""
    kind = schema.QUARANTINE if name.startswith("quarantine") else schema.MASKS
    checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=kind))
    if in_mark:
        before = read_mark(run, "segment", int(name[-13:-8]))
        write_mark(run, "segment", replace(before, files=before.files | {name: checksum}))


def test_nothing_is_wrong_with_a_whole_run(run: RunFolder, picture_folder: Path) -> None:
    result = check(job_at(run), open_source(str(picture_folder)))
    assert result.findings.lines() == []
    assert (result.num_images, result.steps) == (13, ["segment"])
    names = [*(part("segment", shard) for shard in range(3)), part("quarantine", 2), SUCCESS]
    assert result.files == {"count": 5, "bytes": sum(run.size(name) for name in names)}


def test_a_byte_that_has_changed(run: RunFolder) -> None:
    data = bytearray(run.read_bytes(part("segment", 1)))
    data[100] ^= 1
    run.write_bytes(part("segment", 1), bytes(data))
    assert findings(run)[0].startswith(
        "checksum: segment/part-00001.parquet is not what was written"
    )


def test_a_file_that_is_gone(run: RunFolder) -> None:
    run.delete(part("segment", 0))
    run.delete(part("quarantine", 2))
    lines = findings(run)
    assert "missing file: segment/part-00000.parquet is gone, its commit mark names it" in lines
    assert "missing file: quarantine/part-00002.parquet is gone, its commit mark names it" in lines


def test_a_shard_that_is_not_done(run: RunFolder) -> None:
    """Its files without its mark; and a run that says it is whole all the same."""
    run.delete(mark("segment", 2))
    assert findings(run) == [
        "not done: 1 of 3 shards of segment, first 2",
        "success: segment is marked as complete, but shards are missing",
        "half done: segment/part-00002.parquet: its shard has no commit mark yet",
        "half done: quarantine/part-00002.parquet: its shard has no commit mark yet",
    ]


def test_foreign_files(run: RunFolder) -> None:
    for name in (
        "segment/part-00007.parquet",
        "segment/notes.txt",
        "segment/deep/part-00000.parquet",
        "quarantine/part-00000.parquet",
        "_run/stats/segment/part-00009.json",
        "segment/.part-00000.parquet.0123456789abcdef.tmp",
    ):
        run.write_bytes(name, b"x")
    lines = findings(run)
    assert len(lines) == 5, "the leftover of a write is nothing wrong"
    assert all(line.startswith("foreign: ") for line in lines)
    assert "foreign: _run/stats/segment/part-00009.json: no shard of the plan" in lines


def test_an_image_that_is_missing_and_one_that_is_extra(
    run: RunFolder, picture_folder: Path
) -> None:
    rows = run.read_table(part("segment", 0)).to_pylist()
    lost = rows[0]["image_id"]
    for row in rows[:2]:
        row |= {"image_id": "stranger.png", "uri": "/stranger.png"}
    rewrite(run, part("segment", 0), rows)
    assert findings(run) == [
        f"missing image: {picture_folder}/{lost} of shard 0 has neither mask nor reason",
        "extra image: /stranger.png is in shard 0, but not in its plan",
    ]
    assert findings(run, picture_folder) == [
        f"missing image: {lost} of shard 0 has neither mask nor reason",
        "extra image: stranger.png is in shard 0, but not in its plan",
    ]


def test_rows_that_are_too_few(run: RunFolder) -> None:
    """One of two first masks of an image is missing, and then the image."""
    rows = run.read_table(part("segment", 0)).to_pylist()
    rewrite(run, part("segment", 0), rows[1:])
    assert "counts: segment/part-00000.parquet has 9 rows of 5 images" in findings(run)[0]
    rewrite(run, part("segment", 0), rows[2:])
    lines = findings(run)
    assert "counts: segment/part-00000.parquet has 8 rows of 4 images" in lines[0]
    assert lines[1].startswith("missing image: ")


def test_an_image_with_a_mask_in_the_quarantine_too(run: RunFolder) -> None:
    """Catches what a retry leaves that forgets the rows of the attempt before."""
    [rejected] = run.read_table(part("quarantine", 2)).to_pylist()
    image_id = run.read_table(part("segment", 2))["image_id"][0].as_py()
    rewrite(run, part("quarantine", 2), [rejected, rejected | {"image_id": image_id}])
    lines = findings(run)
    assert f"repeated: {image_id} is in shards 2, 2" in lines
    assert any("quarantine/part-00002.parquet has 2 rows" in line for line in lines)


def test_an_id_in_two_shards(run: RunFolder) -> None:
    rows = run.read_table(part("segment", 1)).to_pylist()
    twin = run.read_table(part("segment", 0))["image_id"][0].as_py()
    for row in rows[:2]:
        row["image_id"] = twin
    rewrite(run, part("segment", 1), rows)
    assert f"repeated: {twin} is in shards 0, 1" in findings(run)


def test_a_mark_that_is_damaged(run: RunFolder) -> None:
    run.write_bytes(mark("segment", 1), b"{")
    assert findings(run)[0].startswith("mark: _run/stats/segment/part-00001.json cannot be used")


def test_a_mark_that_does_not_add_up(run: RunFolder) -> None:
    run.write_json(mark("segment", 1), run.read_json(mark("segment", 1)) | {"planned": 6})
    [line] = [line for line in findings(run) if line.startswith("mark: ")]
    assert line.endswith("shard 1: 6 planned, 5 ok and 0 quarantined; they do not add up")


def test_a_mark_of_more_images_than_were_planned(run: RunFolder) -> None:
    done = read_mark(run, "segment", 1)
    write_mark(run, "segment", replace(done, planned=6, quarantined=1))
    assert findings(run) == [
        "counts: quarantine/part-00001.parquet has 0 rows, the mark of its shard says 1",
        "counts: shard 1 was planned with 5 images and has 6",
    ]


def test_a_prediction_without_a_mask(run: RunFolder) -> None:
    rows = [{"image_id": "stranger.png", "uri": "/stranger.png", "width": 1, "height": 1}]
    name = part("predict", 0)
    checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=schema.PREDICTED))
    write_record(run, "predict", StepRecord(num_shards=3, settings={}, versions={}))
    done = replace(read_mark(run, "segment", 0), files={name: checksum}, facts={})
    write_mark(run, "predict", replace(done, planned=1, ok=1))
    assert findings(run) == [
        "not done: 2 of 3 shards of predict, first 1",
        "extra image: predict/part-00000.parquet has a row of stranger.png, which has no mask "
        "in its shard",
    ]


def test_files_of_others_are_told_of_and_are_no_fault(run: RunFolder) -> None:
    run.write_bytes("notes.txt", b"mine")
    result = check(job_at(run), None)
    assert result.findings.lines() == []
    assert result.not_ours.lines() == ["not ours: notes.txt: it stays as it is"]


def test_many_findings_are_counted(run: RunFolder) -> None:
    for number in range(25):
        run.write_bytes(f"segment/{number}.txt", b"")
    lines = findings(run)
    assert len(lines) == 11
    assert lines[-1] == "foreign: and 15 more"
