import io
from pathlib import Path

import pytest
from PIL import Image

from iem_batch.errors import WorkerMemoryError
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import (
    add_killers,
    guard,
    header_size,
    largest_images,
    planned_ids,
    read_killers,
)
from iem_batch.run.load import load_shard
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Source, open_source
from iem_batch.steps.registry import up_to

SMALL = DecodeSettings(size_px=32)


@pytest.fixture
def planned(tmp_path: Path) -> tuple[RunFolder, Source]:
    """Three pictures of different sizes and a file that is none, in one shard."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in {"a": (40, 30), "b": (400, 300), "c": (80, 60)}.items():
        Image.new("RGB", size).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes(b"not a picture")
    run, source = RunFolder(str(tmp_path / "run")), open_source(str(folder))
    write_plan(run, source, PlanSettings(shard_size=10))
    return run, source


def test_killers_are_rows_and_not_decoded(planned: tuple[RunFolder, Source]) -> None:
    run, source = planned
    add_killers(run, "segment", 0, {"b.png": "killed its process by SIGSEGV"})
    loaded = load_shard(run, 0, guard(run, up_to("segment"), 0, source, SMALL, None), SMALL)
    assert loaded.image_id == ["a.png", "c.png"]
    assert [(row["image_id"], row["error_class"]) for row in loaded.rejected] == [
        ("b.png", "kills_worker"),
        ("d.png", "not_an_image"),
    ]
    assert loaded.rejected[0]["message"] == "killed its process by SIGSEGV"


def test_killers_of_a_step_count_for_the_later_ones_only(planned: tuple[RunFolder, Source]) -> None:
    """Catches masks that come out otherwise when they are done again after predict."""
    run, _ = planned
    add_killers(run, "predict", 0, {"c.png": "late"})
    add_killers(run, "segment", 0, {"b.png": "early"})
    assert read_killers(run, up_to("segment"), 0) == {"b.png": "early"}
    assert read_killers(run, up_to("refine"), 0) == {"b.png": "early", "c.png": "late"}
    assert read_killers(run, up_to("segment"), 1) == {}


def test_an_image_that_needs_more_than_a_workers_share_is_named_with_its_size(
    planned: tuple[RunFolder, Source],
) -> None:
    """400 x 300 pixels of 12 bytes are 1.44 MB."""
    run, source = planned
    load_shard(run, 0, guard(run, up_to("segment"), 0, source, SMALL, 1_500_000), SMALL)
    expected = r"decoding b.png \(400x300\) takes up to 1 MB, the worker's share is 1 MB"
    with pytest.raises(WorkerMemoryError, match=expected):
        load_shard(run, 0, guard(run, up_to("segment"), 0, source, SMALL, 1_400_000), SMALL)


def test_what_the_decoder_rejects_by_its_header_needs_no_share(
    planned: tuple[RunFolder, Source],
) -> None:
    """Catches a shard that fails because of a bomb that would have become a row."""
    run, source = planned
    strict = DecodeSettings(size_px=32, max_pixels=100_000)
    loaded = load_shard(run, 0, guard(run, up_to("segment"), 0, source, strict, 500_000), strict)
    assert {row["image_id"]: row["error_class"] for row in loaded.rejected} == {
        "b.png": "too_large",
        "d.png": "not_an_image",
    }


def test_the_largest_images_are_named_without_decoding(planned: tuple[RunFolder, Source]) -> None:
    run, source = planned
    assert largest_images(run, 0, source, count=2) == "b.png (400x300), c.png (80x60)"
    assert planned_ids(run, 0, source) == ["a.png", "b.png", "c.png", "d.png"]


def test_size_from_the_header_of_half_a_file() -> None:
    buffer = io.BytesIO()
    Image.new("L", (300, 200)).save(buffer, "PNG")
    assert header_size(buffer.getvalue()[:60]) == (300, 200)
    assert header_size(b"") is None
    assert header_size(b"\xff\xd8\xff") is None
