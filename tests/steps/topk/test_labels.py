"""Selecting among the masks of the round before: errors worked out by hand."""

from pathlib import Path

import pytest

from iem_batch.errors import SettingsError
from iem_batch.run.folder import RunFolder
from iem_batch.steps.do import do
from iem_batch.steps.topk.labels import Labels, labels_of, selected_labels
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.topk.step import TABLE
from tests.steps.hand_made import SIZE, prediction, row, square, write_shard
from tests.steps.jobs import job_at
from tests.steps.topk.selecting import topk


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Fused masks, and predictions of a first round, in two shards."""
    run = RunFolder(str(tmp_path / "run"))
    middle = square(2, 2, 4)
    for shard, names in enumerate(("abc", "de")):
        write_shard(run, "fuse", shard, [row(name, middle, 0.9) for name in names])
    nothing, everything = square(0, 0, 0), square(0, 0, SIZE)
    a, b, c = (
        prediction("a", middle, 0.2),
        prediction("b", middle, 0.8),
        prediction("c", nothing, 0),
    )
    write_shard(run, "predict", 0, [a, b, c])
    d, e = prediction("d", everything, 0), prediction("e", square(0, 0, 4), 0.5)
    write_shard(run, "predict", 1, [d, e])
    refined = [row(name, middle, error, side=None) for name, error in (("a", 1.0), ("b", 0.1))]
    write_shard(run, "refine", 0, refined)
    write_shard(run, "refine", 1, [row("e", middle, 0.3, side=None)])
    return run


@pytest.mark.parametrize("k", [2, 9])
def test_predictions_are_ranked_by_their_own_errors(run: RunFolder, k: int) -> None:
    """Catches IEM's errors in their place, and empty and full masks as labels."""
    selection = topk(run, TopkSettings(k=k, rounds=2, fraction=None), 2)
    rows = run.below("rounds/2").read_table(TABLE).to_pylist()
    expected = [("b", 0, 0.8), ("e", 1, 0.5), ("a", 0, 0.2)][:k]
    keys = ("image_id", "shard", "error")
    assert [tuple(row[key] for key in keys) for row in rows] == expected
    assert (selection.num_images, selection.num_undefined) == (5, 2)


def test_options_hold_for_predictions(run: RunFolder) -> None:
    """Corner e covers a quarter of the frame and of the picture: 7 of 28, 16 of 64 pixels."""
    settings = TopkSettings(k=9, rounds=2, max_frame=0.2)
    topk(run, settings, 2)
    assert run.below("rounds/2").read_table(TABLE)["image_id"].to_pylist() == ["b", "a"]
    topk(run, TopkSettings(fraction=0.4, rounds=2, min_area=0.25), 2)
    assert run.below("rounds/2").read_table(TABLE)["image_id"].to_pylist() == ["b", "e"]


def test_refined_masks_may_be_selected_among(run: RunFolder) -> None:
    topk(run, TopkSettings(k=2, rounds=2, masks="refine"), 2)
    assert run.below("rounds/2").read_table(TABLE)["image_id"].to_pylist() == ["a", "e"]


def test_each_round_selects_among_the_masks_of_the_one_before(run: RunFolder) -> None:
    job = job_at(run, topk=TopkSettings(rounds=3, masks="refine"))
    second = run.below("rounds/2")
    assert labels_of(job.in_round(1)) == Labels(place=run, step="fuse")
    assert labels_of(job.in_round(2)) == Labels(place=run, step="refine")
    assert labels_of(job) == Labels(place=second, step="refine")


def test_which_masks_a_selection_was_made_among(run: RunFolder) -> None:
    """By its own record: a corpus must not take its labels from where the settings of today say."""
    then = job_at(run, topk=TopkSettings(k=2, rounds=2, masks="refine"))
    now = job_at(run, topk=TopkSettings(k=2, rounds=2, masks="predict"))
    do(then.in_round(1), "topk")
    do(then, "topk")
    for job in (then, now):
        assert selected_labels(job) == Labels(place=run, step="refine")
        assert selected_labels(job.in_round(1)) == Labels(place=run, step="fuse")


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"masks": "segment"}])
def test_settings_of_rounds_that_cannot_be_used(wrong: dict) -> None:
    with pytest.raises(SettingsError, match=f"topk.{next(iter(wrong))} is"):
        TopkSettings(**wrong)
