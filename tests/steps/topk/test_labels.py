"""Selecting among the masks of the round before: errors worked out by hand."""

from pathlib import Path

import pytest
from iem_batch.run.run_folder import TOPK, RunFolder

from iem_batch.errors import SettingsError
from iem_batch.steps.topk.labels import labels_of, round_of, selected_labels
from iem_batch.steps.topk.settings import SelectSettings
from iem_batch.steps.topk.step import topk
from tests.steps.hand_made import SIZE, prediction, row, square, write_shard


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Masks of two first masks, and predictions of a first round, in two shards."""
    run = RunFolder(str(tmp_path / "run"))
    middle = square(2, 2, 4)
    for shard, names in enumerate(("abc", "de")):
        rows = [row(name, middle, 0.9, side) for name in names for side in (2, 4)]
        write_shard(run, "masks", shard, rows)
    nothing, everything = square(0, 0, 0), square(0, 0, SIZE)
    first = run.round(1)
    a, b, c = (
        prediction("a", middle, 0.2),
        prediction("b", middle, 0.8),
        prediction("c", nothing, 0),
    )
    write_shard(first, "predictions", 0, [a, b, c])
    d, e = prediction("d", everything, 0), prediction("e", square(0, 0, 4), 0.5)
    write_shard(first, "predictions", 1, [d, e])
    refined = [row(name, middle, error, side=None) for name, error in (("a", 1.0), ("b", 0.1))]
    write_shard(first, "refined", 0, refined)
    write_shard(first, "refined", 1, [row("e", middle, 0.3, side=None)])
    return run


@pytest.mark.parametrize("k", [2, 9])
def test_predictions_are_ranked_by_their_own_errors(run: RunFolder, k: int) -> None:
    """Catches IEM's errors in their place, and empty and full masks as labels."""
    selection = topk(run, 2, SelectSettings(k=k, rounds=2, fraction=None))
    rows = run.read_table(TOPK).to_pylist()
    expected = [("b", 0, None, 0.8), ("e", 1, None, 0.5), ("a", 0, None, 0.2)][:k]
    keys = ("image_id", "shard", "init_side", "error")
    assert [tuple(row[key] for key in keys) for row in rows] == expected
    assert (selection.num_images, selection.num_undefined, selection.side) == (5, 2, None)


def test_options_hold_for_predictions(run: RunFolder) -> None:
    """Corner e covers a quarter of the frame and of the picture: 7 of 28, 16 of 64 pixels."""
    settings = SelectSettings(k=9, rounds=2, max_frame=0.2, init_choice="image")
    topk(run, 2, settings)
    assert run.read_table(TOPK)["image_id"].to_pylist() == ["b", "a"]
    topk(run, 2, SelectSettings(fraction=0.4, rounds=2, min_area=0.25))
    assert run.read_table(TOPK)["image_id"].to_pylist() == ["b", "e"]


def test_refined_masks_may_be_selected_among(run: RunFolder) -> None:
    topk(run, 2, SelectSettings(k=2, rounds=2, masks="refined"))
    assert run.read_table(TOPK)["image_id"].to_pylist() == ["a", "e"]


def test_which_masks_a_selection_was_made_among(run: RunFolder) -> None:
    """By its own record: a corpus must not take its labels from where the settings of today say."""
    assert round_of(run) is None
    assert selected_labels(run) == labels_of(run, 1, "predictions")
    run.begin_step("selection", {"select": {"rounds": 3, "masks": "refined"}})
    assert round_of(run) == 3
    assert selected_labels(run) == labels_of(run, 3, "refined")
    assert selected_labels(run).run == run.round(2)
    first, second = run.round(1), run.round(2)
    first.begin_step("selection", {"select": {"rounds": 1}})
    second.begin_step("selection", {"select": {"rounds": 2, "masks": "predictions"}})
    assert (selected_labels(first).run, selected_labels(first).step) == (first, "masks")
    assert (selected_labels(second).run, selected_labels(second).step) == (first, "predictions")


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"masks": "masks"}])
def test_settings_of_rounds_that_cannot_be_used(wrong: dict) -> None:
    with pytest.raises(SettingsError, match=f"select.{next(iter(wrong))} is"):
        SelectSettings(**wrong)
