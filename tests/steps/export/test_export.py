from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from iem_batch.images.png import decode_mask, decode_pixels, encode_mask
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import mark as mark_of
from iem_batch.run.layout import part
from iem_batch.run.marks import committed, read_mark, read_summary, require_summary
from iem_batch.run.plan import read_plan, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.topk.step import TABLE
from iem_batch.steps.train.step import build as build_training
from tests.steps.jobs import job_at

Segmented = Callable[..., SegmentStep]


@pytest.fixture
def fused(segmented: Callable[..., SegmentStep]) -> Segmented:
    """Gives `segmented` with `fuse` done as well."""

    def fuse(**options: Any) -> SegmentStep:
        step = segmented(**options)
        do(job_at(step.run), "fuse")
        return step

    return fuse


def export(step: SegmentStep, pairs_per_file: int, foreground: str = "frame") -> None:
    """Select the seven best of the twelve pictures and export them."""
    job = job_at(
        step.run,
        topk=TopkSettings(k=7),
        export=ExportSettings(pairs_per_file=pairs_per_file, foreground=foreground),  # type: ignore[arg-type]
    )
    do(job, "topk")
    do(job, "export")


def corpus_rows(run: RunFolder) -> list[dict[str, Any]]:
    return [
        row for name in run.names("export") for row in run.read_table(f"export/{name}").to_pylist()
    ]


def test_pairs_are_the_selected_images_with_the_chosen_masks(fused: Segmented) -> None:
    """Catches the mask of another first mask, or of another image, beside an image."""
    step = fused(shard_size=5)
    export(step, pairs_per_file=3)
    loaded = [step.load(shard) for shard in range(3)]
    pixels = {
        image_id: image_HW3
        for shard in loaded
        for image_id, image_HW3 in zip(shard.image_id, shard.image_BHW3, strict=True)
    }
    selected = {row["image_id"]: row for row in step.run.read_table(TABLE).to_pylist()}
    masks = {
        row["image_id"]: row["mask"]
        for shard in range(3)
        for row in step.run.read_table(part("fuse", shard)).to_pylist()
    }
    rows = corpus_rows(step.run)
    assert {row["image_id"] for row in rows} == selected.keys()
    assert len(rows) == 7
    for row in rows:
        image_id = row["image_id"]
        chosen = selected[image_id]
        np.testing.assert_array_equal(
            decode_pixels(row["image"]["bytes"]),
            pixels[image_id],
        )
        assert row["mask"] == masks[image_id]
        assert (row["error"], row["rank"]) == (chosen["error"], chosen["rank"])
    assert step.run.read_table(part("export", 0)).schema.equals(schema.CORPUS, check_metadata=True)


def test_pairs_do_not_depend_on_the_size_of_the_files(fused: Segmented) -> None:
    one, many = fused(name="one"), fused(name="many")
    export(one, pairs_per_file=100)
    export(many, pairs_per_file=2)
    assert len(many.run.names("export")) == 4
    assert corpus_rows(one.run) == corpus_rows(many.run)


def invert_masks(run: RunFolder, shard: int) -> None:
    """Swap the names of both sides in all masks of a shard; their errors stay what they are."""
    table = run.read_table(part("fuse", shard))
    inverted = [encode_mask(~decode_mask(mask["bytes"])) for mask in table["mask"].to_pylist()]
    place = table.column_names.index("mask")
    table = table.set_column(place, table.schema.field(place), schema.image_column(inverted))
    run.write_table(part("fuse", shard), pa.table(table, schema=schema.FUSED))


def num_turned(run: RunFolder) -> int:
    found: int = require_summary(run, "export").facts["turned"]
    return found


def test_all_masks_of_a_corpus_call_the_same_side_foreground(fused: Segmented) -> None:
    """Catches masks of both polarities among the labels, and a wrong count of those turned."""
    as_they_are, mixed, as_found = (fused(name=name) for name in ("one", "two", "three"))
    for step in (mixed, as_found):
        invert_masks(step.run, 0)
        invert_masks(step.run, 2)
    export(as_they_are, pairs_per_file=3)
    export(mixed, pairs_per_file=3)
    export(as_found, pairs_per_file=3, foreground="as_found")
    rows = corpus_rows(as_they_are.run)
    assert corpus_rows(mixed.run) == rows
    selected = mixed.run.read_table(TABLE)["shard"].to_pylist()
    inverted = sum(shard in (0, 2) for shard in selected)
    assert 0 < inverted < 7
    counts = [num_turned(step.run) for step in (as_they_are, mixed, as_found)]
    assert counts == [0, inverted, 0]
    different = [
        a["mask"] != b["mask"] for a, b in zip(rows, corpus_rows(as_found.run), strict=True)
    ]
    assert sum(different) == inverted


def test_an_image_that_has_vanished_is_named(fused: Segmented, picture_folder: Path) -> None:
    step = fused()
    job = job_at(step.run)
    do(job, "topk")
    (picture_folder / "disc_004.png").unlink()
    do(job, "export")
    record = read_mark(step.run, "export", 0)
    assert (record.planned, record.ok, record.quarantined) == (12, 11, 1)
    (rejected,) = record.facts["rejected"]
    assert rejected["image_id"] == "disc_004.png"
    assert rejected["error_class"] == "missing"


def test_the_selection_is_read_once_however_many_files(
    fused: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a table of all selected images read and cut anew for each file of them."""
    read: list[str] = []
    read_table = RunFolder.read_table

    def counted(self: RunFolder, name: str, columns: list[str] | None = None) -> pa.Table:
        read.append(name)
        return read_table(self, name, columns)

    monkeypatch.setattr(RunFolder, "read_table", counted)
    for pairs_per_file, num_files in ((100, 1), (1, 7)):
        step = fused(name=f"{num_files}")
        read.clear()
        export(step, pairs_per_file)
        assert len(step.run.names("export")) == num_files
        assert read.count(TABLE) == 1


def test_marks_of_an_exported_corpus_are_read_once_before_training(
    fused: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that adds them up; catches one that asks each file for its pairs again."""
    read: Counter[str] = Counter()
    read_bytes = RunFolder.read_bytes

    def counted(self: RunFolder, name: str) -> bytes:
        read[name] += 1
        return read_bytes(self, name)

    monkeypatch.setattr(RunFolder, "read_bytes", counted)
    step = fused()
    export(step, pairs_per_file=2)
    assert [read[mark_of("export", file)] for file in range(4)] == [1, 1, 1, 1]
    read.clear()
    build_training(job_at(step.run))
    assert sum(count for name, count in read.items() if name.startswith("_run/stats/")) == 0


@pytest.mark.parametrize("name", ["segment", "fuse", "export"])
def test_a_step_done_in_two_parts_ends_as_if_done_at_once(
    fused: Segmented, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a step completed by the first command, or by none, and bytes that know of parts."""
    whole = fused(shard_size=3, name="whole").run
    run = RunFolder(whole.url.replace("whole", "parts"))
    write_plan(run, open_source(read_plan(whole).source_url), PlanSettings(shard_size=3))
    exported = ExportSettings(pairs_per_file=3)
    export_all, job = job_at(whole, export=exported), job_at(run, export=exported)
    if name != "segment":
        do(job, "segment")
    if name == "export":
        do(job, "fuse")
        for each in (export_all, job):
            do(each, "topk")
        do(export_all, "export")
    capsys.readouterr()
    do(replace(job, shards=range(2)), name)
    assert "2 of 4 shards are left for other commands" in capsys.readouterr().out
    assert read_summary(run, name) is None
    assert committed(run, name) == {0, 1}
    do(replace(job, shards=range(2, 4)), name)
    now, expected = require_summary(run, name), require_summary(whole, name)
    assert (now.planned, now.ok, now.facts) == (expected.planned, expected.ok, expected.facts)
    assert now.outputs_digest == expected.outputs_digest
    assert run.names(name) == whole.names(name)
    for file in run.names(name):
        assert run.read_bytes(f"{name}/{file}") == whole.read_bytes(f"{name}/{file}")
