"""A whole run, and each way in which it can be less."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from iem_batch.run.run_folder import SUCCESS, RunFolder, mark, part, step_record

from iem_batch.run import schema
from iem_batch.sources import open_source
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.tools.verify import verify

Segmented = Callable[..., SegmentStep]


@pytest.fixture
def run(segmented: Segmented, picture_folder: Path) -> RunFolder:
    """Twelve pictures and a broken file, in shards of five."""
    (picture_folder / "disc_099.png").write_bytes(b"")
    run = segmented(shard_size=5).run
    run.write_json(step_record("masks"), {})
    run.write_bytes(SUCCESS, b"")
    return run


def findings(run: RunFolder, source: Path | None = None) -> list[str]:
    opened = None if source is None else open_source(str(source))
    return verify(run, ExportSettings(), opened).findings.lines()


def rewrite(run: RunFolder, name: str, rows: list[dict], in_mark: bool = True) -> None:
    """Give a file other rows, and its mark the new checksum, so that only the rows are wrong."""
    kind = schema.QUARANTINE if name.startswith("quarantine") else schema.MASKS
    checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=kind))
    if in_mark:
        shard = int(name[-13:-8])
        record = run.read_json(mark("masks", shard))
        record["files"][name] = checksum
        run.write_json(mark("masks", shard), record)


def test_nothing_is_wrong_with_a_whole_run(run: RunFolder, picture_folder: Path) -> None:
    result = verify(run, ExportSettings(), open_source(str(picture_folder)))
    assert result.findings.lines() == []
    assert (result.num_images, result.num_files) == (13, 4)
    names = [*(part("masks", shard) for shard in range(3)), part("quarantine", 2)]
    assert result.num_bytes == sum(run.size(name) for name in names)


def test_a_byte_that_has_changed(run: RunFolder) -> None:
    data = bytearray(run.read_bytes(part("masks", 1)))
    data[100] ^= 1
    run.write_bytes(part("masks", 1), bytes(data))
    assert findings(run)[0].startswith("checksum: masks/part-00001.parquet is not what was written")


def test_a_file_that_is_gone(run: RunFolder) -> None:
    run.delete(part("masks", 0))
    run.delete(part("quarantine", 2))
    lines = findings(run)
    assert "missing file: masks/part-00000.parquet is gone, its commit mark names it" in lines
    assert "missing file: quarantine/part-00002.parquet is gone, its commit mark names it" in lines


def test_a_shard_that_is_not_done(run: RunFolder) -> None:
    """Its files without its mark; and a run that says it is whole all the same."""
    run.delete(mark("masks", 2))
    assert findings(run) == [
        "not done: 1 of 3 shards of masks, first 2",
        "half done: masks/part-00002.parquet: its shard has no commit mark yet",
        "half done: quarantine/part-00002.parquet: its shard has no commit mark yet",
        "success: _SUCCESS is there, but 1 shards of masks are not",
    ]


def test_foreign_files(run: RunFolder) -> None:
    for name in (
        "masks/part-00007.parquet",
        "masks/notes.txt",
        "masks/deep/part-00000.parquet",
        "quarantine/part-00000.parquet",
        "_run/stats/masks/part-00009.json",
        "masks/.part-00000.parquet.0123456789abcdef.tmp",
    ):
        run.write_bytes(name, b"x")
    lines = findings(run)
    assert len(lines) == 5, "the leftover of a write is nothing wrong"
    assert all(line.startswith("foreign: ") for line in lines)
    assert "foreign: _run/stats/masks/part-00009.json: no shard of the plan" in lines


def test_an_image_that_is_missing_and_one_that_is_extra(
    run: RunFolder, picture_folder: Path
) -> None:
    rows = run.read_table(part("masks", 0)).to_pylist()
    lost = rows[0]["image_id"]
    for row in rows[:2]:
        row |= {"image_id": "stranger.png", "uri": "/stranger.png"}
    rewrite(run, part("masks", 0), rows)
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
    rows = run.read_table(part("masks", 0)).to_pylist()
    rewrite(run, part("masks", 0), rows[1:])
    assert "counts: masks/part-00000.parquet has 9 rows of 5 images" in findings(run)[0]
    rewrite(run, part("masks", 0), rows[2:])
    lines = findings(run)
    assert "counts: masks/part-00000.parquet has 8 rows of 4 images" in lines[0]
    assert lines[1].startswith("missing image: ")


def test_an_image_with_a_mask_in_the_quarantine_too(run: RunFolder) -> None:
    """Catches what a retry leaves that forgets the rows of the attempt before."""
    [rejected] = run.read_table(part("quarantine", 2)).to_pylist()
    image_id = run.read_table(part("masks", 2))["image_id"][0].as_py()
    rewrite(run, part("quarantine", 2), [rejected, rejected | {"image_id": image_id}])
    lines = findings(run)
    assert f"repeated: {image_id} is in shards 2, 2" in lines
    assert any("quarantine/part-00002.parquet has 2 rows" in line for line in lines)


def test_an_id_in_two_shards(run: RunFolder) -> None:
    rows = run.read_table(part("masks", 1)).to_pylist()
    twin = run.read_table(part("masks", 0))["image_id"][0].as_py()
    for row in rows[:2]:
        row["image_id"] = twin
    rewrite(run, part("masks", 1), rows)
    assert f"repeated: {twin} is in shards 0, 1" in findings(run)


def test_a_mark_that_is_damaged(run: RunFolder) -> None:
    run.write_bytes(mark("masks", 1), b"{")
    assert findings(run)[0].startswith("mark: _run/stats/masks/part-00001.json cannot be used")


def test_a_mark_that_does_not_add_up(run: RunFolder) -> None:
    run.write_json(mark("masks", 1), run.read_json(mark("masks", 1)) | {"planned": 6})
    lines = findings(run)
    assert "counts: _run/stats/masks/part-00001.json says 6 planned, 5 ok and 0 quarant" in lines[0]
    assert "counts: shard 1 was planned with 5 images and has 6" in lines


def test_a_prediction_without_a_mask(run: RunFolder) -> None:
    rows = [{"image_id": "stranger.png", "uri": "/stranger.png", "width": 1, "height": 1}]
    name = part("predictions", 0)
    checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=schema.PREDICTIONS))
    done = {"planned": 1, "ok": 1, "quarantined": 0, "files": {name: checksum}}
    run.write_json(mark("predictions", 0), done)
    assert findings(run) == [
        "not done: 2 of 3 shards of predictions, first 1",
        "extra image: predictions/part-00000.parquet has a row of stranger.png, which has no mask "
        "in its shard",
    ]


def test_many_findings_are_counted(run: RunFolder) -> None:
    for number in range(25):
        run.write_bytes(f"masks/{number}.txt", b"")
    lines = findings(run)
    assert len(lines) == 11
    assert lines[-1] == "foreign: and 15 more"
