from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from iem_batch.exec.in_process import run_in_process

from iem_batch.run import schema
from iem_batch.run.folder import RunFolder, mark, part
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.export.step import ExportStep, num_corpus_files
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.topk.settings import SelectSettings
from iem_batch.steps.topk.step import topk
from tests.steps.conftest import SIZE_PX

Segmented = Callable[..., SegmentStep]


def export(
    step: SegmentStep, pairs_per_file: int, choice: str = "image", foreground: str = "frame"
) -> ExportStep:
    """Select the seven best of the twelve pictures and export them."""
    topk(step.run, 3, SelectSettings(k=7, init_choice=choice))  # type: ignore[arg-type]
    exporting = ExportStep(
        run=step.run,
        source_url=step.source_url,
        decode=DecodeSettings(size_px=SIZE_PX),
        export=ExportSettings(pairs_per_file=pairs_per_file, foreground=foreground),  # type: ignore[arg-type]
    )
    num_files = num_corpus_files(step.run, exporting.export)
    run_in_process(exporting, range(num_files), lambda mark: None)
    return exporting


def corpus_rows(run: RunFolder) -> list[dict[str, Any]]:
    return [
        row for name in run.names("corpus") for row in run.read_table(f"corpus/{name}").to_pylist()
    ]


def test_pairs_are_the_selected_images_with_the_chosen_masks(segmented: Segmented) -> None:
    """Catches the mask of another first mask, or of another image, beside an image."""
    step = segmented(shard_size=5)
    export(step, pairs_per_file=3)
    loaded = [step.load(shard) for shard in range(3)]
    pixels = {
        image_id: image_HW3
        for shard in loaded
        for image_id, image_HW3 in zip(shard.image_id, shard.image_BHW3, strict=True)
    }
    selected = {
        row["image_id"]: row for row in step.run.read_table("selection/topk.parquet").to_pylist()
    }
    masks = {
        (row["image_id"], row["init_side"]): row["mask"]
        for shard in range(3)
        for row in step.run.read_table(part("masks", shard)).to_pylist()
    }
    rows = corpus_rows(step.run)
    assert {row["image_id"] for row in rows} == selected.keys()
    assert len(rows) == 7
    for row in rows:
        image_id = row["image_id"]
        chosen = selected[image_id]
        np.testing.assert_array_equal(
            schema.decode_pixels(row["image"]["bytes"]),
            pixels[image_id],
        )
        assert row["mask"] == masks[image_id, chosen["init_side"]]
        assert (row["error"], row["rank"]) == (chosen["error"], chosen["rank"])
    assert step.run.read_table(part("corpus", 0)).schema.equals(schema.CORPUS, check_metadata=True)


def test_pairs_do_not_depend_on_the_size_of_the_files(segmented: Segmented) -> None:
    one, many = segmented(name="one"), segmented(name="many")
    export(one, pairs_per_file=100)
    export(many, pairs_per_file=2)
    assert len(many.run.names("corpus")) == 4
    assert corpus_rows(one.run) == corpus_rows(many.run)


def invert_masks(run: RunFolder, shard: int) -> None:
    """Swap the names of both sides in all masks of a shard; their errors stay what they are."""
    table = run.read_table(part("masks", shard))
    inverted = [
        schema.encode_mask(~schema.decode_mask(mask["bytes"])) for mask in table["mask"].to_pylist()
    ]
    place = table.column_names.index("mask")
    table = table.set_column(place, table.schema.field(place), schema.image_column(inverted))
    run.write_table(part("masks", shard), pa.table(table, schema=schema.MASKS))


def num_turned(run: RunFolder) -> int:
    return sum(record["turned"] for record in run.marks("corpus", sorted(run.committed("corpus"))))


def test_all_masks_of_a_corpus_call_the_same_side_foreground(segmented: Segmented) -> None:
    """Catches masks of both polarities among the labels, and a wrong count of those turned."""
    as_they_are, mixed, as_found = (segmented(name=name) for name in ("one", "two", "three"))
    for step in (mixed, as_found):
        invert_masks(step.run, 0)
        invert_masks(step.run, 2)
    export(as_they_are, pairs_per_file=3)
    export(mixed, pairs_per_file=3)
    export(as_found, pairs_per_file=3, foreground="as_found")
    rows = corpus_rows(as_they_are.run)
    assert corpus_rows(mixed.run) == rows
    selected = mixed.run.read_table("selection/topk.parquet")["shard"].to_pylist()
    inverted = sum(shard in (0, 2) for shard in selected)
    assert 0 < inverted < 7
    counts = [num_turned(step.run) for step in (as_they_are, mixed, as_found)]
    assert counts == [0, inverted, 0]
    different = [
        a["mask"] != b["mask"] for a, b in zip(rows, corpus_rows(as_found.run), strict=True)
    ]
    assert sum(different) == inverted


def test_an_image_that_has_vanished_is_named(segmented: Segmented, picture_folder: Path) -> None:
    step = segmented()
    topk(step.run, 3, SelectSettings(k=12))
    (picture_folder / "disc_004.png").unlink()
    exporting = ExportStep(
        run=step.run,
        source_url=step.source_url,
        decode=DecodeSettings(size_px=SIZE_PX),
        export=ExportSettings(),
    )
    run_in_process(exporting, [0], lambda mark: None)
    record = step.run.read_json(mark("corpus", 0))
    assert (record["planned"], record["ok"], record["quarantined"]) == (12, 11, 1)
    assert record["rejected"][0]["image_id"] == "disc_004.png"
    assert record["rejected"][0]["error_class"] == "missing"
