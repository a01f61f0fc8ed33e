import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from iem_batch.data import schema
from iem_batch.data.run_folder import EVALUATION, RunFolder
from iem_batch.data.settings import DecodeSettings
from iem_batch.errors import StepMissingError, TruthError
from iem_batch.stages.evaluate import evaluate, rich_table
from iem_batch.stages.truth import MaskFolder
from tests.stages.hand_made import SIZE, prediction, row, square, write_png, write_shard

TRUTH = square(0, 0, 4)  # 16 of 64 pixels
HALF = square(0, 2, 4)  # covers half of TRUTH: IoU 8 / 24


@pytest.fixture
def run(tmp_path):
    return RunFolder(str(tmp_path / "run"))


@pytest.fixture
def folder(tmp_path):
    """Gives a folder of masks."""

    def write(name="truth", **masks):
        (tmp_path / name).mkdir(exist_ok=True)
        for stem, mask in masks.items():
            write_png(tmp_path / name / f"{stem}.png", mask)
        return MaskFolder(str(tmp_path / name), DecodeSettings(size_px=SIZE))

    return write


def iou(evaluation):
    return {scores.method: scores.as_labelled["iou"] for scores in evaluation.methods}


def test_means_over_shards_and_images_without_truth(run, folder):
    write_shard(run, "masks", 0, [row("a.jpg", TRUTH), row("b.jpg", HALF), row("c.jpg", HALF)])
    write_shard(run, "masks", 1, [row("d.jpg", HALF)])
    write_shard(run, "masks", 2, [row("e.jpg", HALF)])
    evaluation = evaluate(run, folder(a=TRUTH, b=TRUTH, d=~HALF), None, "dataset")
    assert (evaluation.num_images, evaluation.num_without_truth) == (3, 2)
    assert evaluation.init_side == 4
    # a: 1. b: 8 / 24. d: nothing in common with its complement.
    assert iou(evaluation)["iem"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert evaluation.methods[0].best_polarity["iou"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    # Baselines: the square of side 4 in rows and columns 2 to 5, and everything.
    assert iou(evaluation)["centre_square"] == pytest.approx((4 / 28 + 4 / 28 + 8 / 56) / 3)
    assert iou(evaluation)["all_foreground"] == pytest.approx((1 / 4 + 1 / 4 + 3 / 4) / 3)


def test_all_steps_that_exist_are_scored(run, folder):
    write_shard(run, "masks", 0, [row("a.jpg", HALF)])
    write_shard(run, "masks", 1, [row("b.jpg", HALF)])
    # Predictions in another order, with an image that has no mask; only one shard is done.
    write_shard(run, "predictions", 0, [prediction("x.jpg", HALF), prediction("a.jpg", TRUTH)])
    write_shard(run, "refined", 0, [row("a.jpg", ~TRUTH, side=None)])
    write_shard(run, "refined", 1, [])
    evaluation = evaluate(run, folder(a=TRUTH, b=TRUTH), None, "dataset")
    assert [(scores.method, scores.num_images) for scores in evaluation.methods] == [
        ("iem", 2),
        ("segnet", 1),
        ("refined", 1),
        ("centre_square", 2),
        ("all_foreground", 2),
    ]
    assert iou(evaluation)["segnet"] == 1
    assert iou(evaluation)["refined"] == 0


def test_each_first_mask_is_scored_and_the_choice_follows_the_error(run, folder):
    rows = [
        row("a.jpg", TRUTH, error=0.3, side=2),
        row("a.jpg", HALF, error=0.6, side=4),
        row("b.jpg", HALF, error=0.4, side=2),
        row("b.jpg", TRUTH, error=0.2, side=4),
    ]
    write_shard(run, "masks", 0, rows)
    truth = folder(a=TRUTH, b=TRUTH)
    by_dataset = evaluate(run, truth, None, "dataset")
    assert by_dataset.init_side == 4  # mean error 0.40 against 0.35
    both = (1 + 1 / 3) / 2
    assert iou(by_dataset) | {"centre_square": 0, "all_foreground": 0} == pytest.approx(
        {"iem": both, "iem_2": both, "iem_4": both, "centre_square": 0, "all_foreground": 0}
    )
    by_image = evaluate(run, truth, None, "image")
    assert iou(by_image)["iem"] == pytest.approx(1 / 3)  # a with side 4, b with side 2
    # The baseline takes the square of the first mask that was chosen: 4 of 28, 4 of 16 pixels.
    square_2 = np.logical_and(square(3, 3, 2), TRUTH).sum() / (16 + 4 - 1)
    assert iou(by_image)["centre_square"] == pytest.approx((4 / 28 + square_2) / 2)


def test_ignored_pixels_count_nowhere(run, folder):
    write_shard(run, "masks", 0, [row("a.jpg", HALF), row("b.jpg", HALF), row("c.jpg", HALF)])
    truth = folder(a=TRUTH, b=TRUTH, c=TRUTH)
    # What HALF has and TRUTH has not is ignored in a; all of b is; c has no ignore mask.
    ignore = folder("ignore", a=HALF & ~TRUTH, b=square(0, 0, SIZE))
    evaluation = evaluate(run, truth, ignore, "dataset")
    assert (evaluation.num_images, evaluation.num_without_truth) == (2, 1)
    assert iou(evaluation)["iem"] == pytest.approx((8 / 16 + 8 / 24) / 2)


def test_files(run, folder, tmp_path):
    write_shard(run, "masks", 0, [row("a.jpg", TRUTH, error=0.7)])
    write_shard(run, "masks", 1, [row("b.jpg", HALF)])
    evaluation = evaluate(run, folder(a=TRUTH), None, "dataset")
    summary = json.loads(run.read_bytes(EVALUATION))
    assert summary["methods"][0]["as_labelled"] == evaluation.methods[0].as_labelled
    assert (summary["num_images"], summary["ignore_url"]) == (1, None)
    table = pq.read_table(tmp_path / "run" / "evaluation" / "per_image")
    assert table.schema.equals(schema.EVALUATION)
    assert table["method"].to_pylist() == ["iem", "centre_square", "all_foreground"]
    assert table["error"].to_pylist() == [0.7, None, None]
    assert table["iou"].to_pylist() == pytest.approx([1, 4 / 28, 1 / 4])


def test_second_evaluation_leaves_nothing_of_the_first(run, folder):
    write_shard(run, "masks", 0, [row("a.jpg", TRUTH)])
    write_shard(run, "masks", 1, [row("b.jpg", TRUTH)])
    evaluate(run, folder(a=TRUTH, b=TRUTH), None, "dataset")
    evaluate(run, folder("other", b=TRUTH), None, "dataset")
    assert run.names("evaluation/per_image") == ["part-00001.parquet"]


def test_nothing_to_evaluate(run, folder):
    truth = folder(other=TRUTH)
    with pytest.raises(StepMissingError, match="run `iem-batch segment`"):
        evaluate(run, truth, None, "dataset")
    write_shard(run, "masks", 0, [row("a.jpg", TRUTH)])
    with pytest.raises(TruthError, match=r"image a\.jpg, the folder has other\.png"):
        evaluate(run, truth, None, "dataset")


def test_printed_table(run, folder):
    rows = [row("a.jpg", HALF, side=2), row("a.jpg", TRUTH, error=0.9)]
    write_shard(run, "masks", 0, rows)
    evaluation = evaluate(run, folder(a=TRUTH), None, "dataset")
    out = io.StringIO()
    Console(file=out, width=80).print(rich_table(evaluation))
    lines = {line[:14].strip(): line[14:].split() for line in out.getvalue().splitlines()}
    assert lines["IEM"] == ["1", *["100.0"] * 8]
    # HALF as labelled: 48 / 64, 8 / 24, (8 / 24 + 40 / 56) / 2, 16 / 32.
    assert lines["IEM, side 2"][:5] == ["1", "75.0", "33.3", "52.4", "50.0"]
    assert "centre square" in lines
