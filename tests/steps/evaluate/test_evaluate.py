import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from iem_batch.errors import SettingsError, StepMissingError, TruthError
from iem_batch.images.decode import decode
from iem_batch.images.geometry import mask_to_square
from iem_batch.images.settings import DecodeSettings
from iem_batch.metrics import METRICS, as_labelled, confusion
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.baselines import grabcut, otsu
from iem_batch.steps.evaluate.compare import read_scores
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.step import SUMMARY, read_evaluation
from iem_batch.steps.evaluate.table import label, notes, rich_tables
from iem_batch.steps.evaluate.truth import MaskFolder
from tests.pictures import write_masks
from tests.steps.evaluate.evaluations import evaluate
from tests.steps.hand_made import SIZE, prediction, row, square, write_png, write_shard
from tests.steps.jobs import SETTINGS

DECODE = DecodeSettings(size_px=SIZE)
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
        return MaskFolder(str(tmp_path / name), DECODE)

    return write


def iou(evaluation):
    return {scores.method: scores.as_labelled["iou"] for scores in evaluation.methods}


def test_means_over_shards_and_images_without_truth(run, folder):
    write_shard(run, "segment", 0, [row("a.jpg", TRUTH), row("b.jpg", HALF), row("c.jpg", HALF)])
    write_shard(run, "segment", 1, [row("d.jpg", HALF)])
    write_shard(run, "segment", 2, [row("e.jpg", HALF)])
    evaluation = evaluate(run, folder(a=TRUTH, b=TRUTH, d=~HALF), None, DECODE, "dataset")
    assert (evaluation.num_images, evaluation.num_without_truth) == (3, 2)
    assert evaluation.init_side == 4
    # a: 1. b: 8 / 24. d: nothing in common with its complement.
    assert iou(evaluation)["segment"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert evaluation.methods[0].best_polarity["iou"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    # Baselines: the square of side 4 in rows and columns 2 to 5, and everything.
    assert iou(evaluation)["centre_square"] == pytest.approx((4 / 28 + 4 / 28 + 8 / 56) / 3)
    assert iou(evaluation)["all_foreground"] == pytest.approx((1 / 4 + 1 / 4 + 3 / 4) / 3)


def test_all_steps_that_exist_are_scored(run, folder):
    write_shard(run, "segment", 0, [row("a.jpg", HALF)])
    write_shard(run, "segment", 1, [row("b.jpg", HALF)])
    # Predictions in another order, with an image that has no mask; only one shard is done.
    write_shard(run, "predict", 0, [prediction("x.jpg", HALF), prediction("a.jpg", TRUTH)])
    write_shard(run, "refine", 0, [row("a.jpg", ~TRUTH, side=None)])
    write_shard(run, "refine", 1, [])
    evaluation = evaluate(run, folder(a=TRUTH, b=TRUTH), None, DECODE, "dataset")
    assert [(scores.method, scores.num_images) for scores in evaluation.methods] == [
        ("segment", 2),
        ("predict", 1),
        ("refine", 1),
        ("centre_square", 2),
        ("all_foreground", 2),
    ]
    assert iou(evaluation)["predict"] == 1
    assert iou(evaluation)["refine"] == 0


def test_each_first_mask_is_scored_and_the_choice_follows_the_error(run, folder):
    rows = [
        row("a.jpg", TRUTH, error=0.3, side=2),
        row("a.jpg", HALF, error=0.6, side=4),
        row("b.jpg", HALF, error=0.4, side=2),
        row("b.jpg", TRUTH, error=0.2, side=4),
    ]
    write_shard(run, "segment", 0, rows)
    truth = folder(a=TRUTH, b=TRUTH)
    by_dataset = evaluate(run, truth, None, DECODE, "dataset")
    assert by_dataset.init_side == 4  # mean error 0.40 against 0.35
    both = (1 + 1 / 3) / 2
    square_2 = np.logical_and(square(3, 3, 2), TRUTH).sum() / (16 + 4 - 1)
    assert iou(by_dataset) == pytest.approx(
        {"segment": both, "segment_2": both, "segment_4": both}
        | {"centre_square_2": square_2, "centre_square_4": 4 / 28}
        | {"centre_square": 4 / 28, "all_foreground": 1 / 4}
    )
    assert next(notes(by_dataset)).startswith("IEM: first mask of side 4")
    by_image = evaluate(run, truth, None, DECODE, "image")
    assert next(notes(by_image)) == "IEM: for each image the first mask of highest error"
    assert iou(by_image)["segment"] == pytest.approx(1 / 3)  # a with side 4, b with side 2
    # The baseline takes the square of the first mask that was chosen: 4 of 28, 4 of 16 pixels.
    assert iou(by_image)["centre_square"] == pytest.approx((4 / 28 + square_2) / 2)


def test_ignored_pixels_count_nowhere(run, folder):
    write_shard(run, "segment", 0, [row("a.jpg", HALF), row("b.jpg", HALF), row("c.jpg", HALF)])
    truth = folder(a=TRUTH, b=TRUTH, c=TRUTH)
    # What HALF has and TRUTH has not is ignored in a; all of b is; c has no ignore mask.
    ignore = folder("ignore", a=HALF & ~TRUTH, b=square(0, 0, SIZE))
    evaluation = evaluate(run, truth, ignore, DECODE, "dataset")
    assert (evaluation.num_images, evaluation.num_without_truth) == (2, 1)
    assert iou(evaluation)["segment"] == pytest.approx((8 / 16 + 8 / 24) / 2)


def test_files(run, folder, tmp_path):
    write_shard(run, "segment", 0, [row("a.jpg", TRUTH, error=0.7)])
    write_shard(run, "segment", 1, [row("b.jpg", HALF)])
    evaluation = evaluate(run, folder(a=TRUTH), None, DECODE, "dataset")
    summary = json.loads(run.read_bytes(SUMMARY))
    assert summary["methods"][0]["as_labelled"] == evaluation.methods[0].as_labelled
    assert (summary["num_images"], summary["ignore_url"]) == (1, None)
    table = pq.read_table(tmp_path / "run" / "evaluate" / "per_image")
    assert table.schema.equals(schema.EVALUATION)
    assert table["method"].to_pylist() == ["segment", "centre_square", "all_foreground"]
    assert table["error"].to_pylist() == [0.7, None, None]
    assert table["iou"].to_pylist() == pytest.approx([1, 4 / 28, 1 / 4])


def test_second_evaluation_leaves_nothing_of_the_first(run, folder):
    write_shard(run, "segment", 0, [row("a.jpg", TRUTH)])
    write_shard(run, "segment", 1, [row("b.jpg", TRUTH)])
    evaluate(run, folder(a=TRUTH, b=TRUTH), None, DECODE, "dataset")
    evaluate(run, folder("other", b=TRUTH), None, DECODE, "dataset")
    assert run.names("evaluate/per_image") == ["part-00001.parquet"]


def test_nothing_to_evaluate(run, folder):
    truth = folder(other=TRUTH)
    with pytest.raises(StepMissingError, match="run `iem-batch segment`"):
        evaluate(run, truth, None, DECODE, "dataset")
    write_shard(run, "segment", 0, [row("a.jpg", TRUTH)])
    with pytest.raises(TruthError, match=r"image a\.jpg, the truth has other\.png"):
        evaluate(run, truth, None, DECODE, "dataset")


def printed(evaluation, width=80):
    out = io.StringIO()
    for table in rich_tables(evaluation):
        Console(file=out, width=width).print(table)
    return out.getvalue()


def test_printed_tables(run, folder):
    rows = [row("a.jpg", HALF, side=2), row("a.jpg", TRUTH, error=0.9)]
    write_shard(run, "segment", 0, rows)
    evaluation = evaluate(run, folder(a=TRUTH), None, DECODE, "dataset")
    as_labelled, best = printed(evaluation).split("best polarity")
    cells = {line[:14].strip(): line[14:].split() for line in as_labelled.splitlines()}
    assert cells["IEM"] == ["1", *["100.0"] * 4]
    # HALF as labelled: 48 / 64, 8 / 24, (8 / 24 + 40 / 56) / 2, 16 / 32.
    assert cells["IEM, side 2"] == ["1", "75.0", "33.3", "52.4", "50.0"]
    assert "33.3-33.3" in as_labelled  # of one image nothing more is known
    assert "centre square" in best


def test_quoted_rows_are_marked(run, folder):
    """A published figure of another data set must not pass for one measured here."""
    write_shard(run, "segment", 0, [row("a.jpg", HALF)])
    settings = EvaluateSettings(quote=("flowers102",))
    shown = printed(evaluate(run, folder(a=TRUTH), None, DECODE, "dataset", settings), width=120)
    lines = [line for line in shown.splitlines() if "Flowers-102" in line]
    assert all("quoted, another set" in line for line in lines)
    assert any(line.split()[-4:] == ["88.3", "76.8", "79.0", "84.6"] for line in lines)
    assert any(line.split()[-4:] == ["-", "76.4", "-", "-"] for line in lines)


def test_intervals_hold_the_mean_and_do_not_change(run, folder):
    rng = np.random.default_rng(0)
    masks = {f"a{k}": rng.random((SIZE, SIZE)) < 0.5 for k in range(20)}
    write_shard(run, "segment", 0, [row(f"{name}.jpg", TRUTH) for name in masks])
    truth = folder(**masks)
    evaluation = evaluate(run, truth, None, DECODE, "dataset")
    iem = evaluation.methods[0]
    for means, ends in (
        (iem.as_labelled, iem.as_labelled_interval),
        (iem.best_polarity, iem.best_polarity_interval),
    ):
        assert all(ends[name][0] < means[name] < ends[name][1] for name in means)
    assert evaluate(run, truth, None, DECODE, "dataset") == evaluation
    assert read_evaluation(run) == evaluation
    settings = EvaluateSettings(resamples=0)
    without = evaluate(run, truth, None, DECODE, "dataset", settings)
    assert without.methods[0].as_labelled_interval == {}


def test_worst_and_best_images(run, folder):
    rows = [row("a.jpg", TRUTH), row("b.jpg", HALF), row("c.jpg", ~TRUTH), row("d.jpg", TRUTH)]
    write_shard(run, "segment", 0, rows)
    truth = folder(a=TRUTH, b=TRUTH, c=TRUTH, d=TRUTH)
    settings = EvaluateSettings(num_listed=2)
    evaluation = evaluate(run, truth, None, DECODE, "dataset", settings)
    assert evaluation.methods[0].worst_images == pytest.approx({"c.jpg": 0, "b.jpg": 1 / 3})
    assert list(evaluation.methods[0].best_images) == ["a.jpg", "d.jpg"]
    assert list(notes(evaluation)) == [
        "IEM, lowest IoU: c.jpg 0, b.jpg 33",
        "IEM, highest IoU: a.jpg 100, d.jpg 100",
    ]


def test_at_the_size_of_the_image(run, folder, tmp_path):
    """The image is 32 x 16, the engine sees columns 8 to 23 at half their resolution."""
    mask = square(2, 2, 4)
    write_shard(run, "segment", 0, [row("a.jpg", mask) | {"width": 32, "height": 16}])
    truth = np.zeros((16, 32), dtype=np.bool_)
    truth[4:12, 13:20] = True  # the mask is rows 4 to 11, columns 12 to 19
    truth[0, :8] = True  # not seen
    folder()
    write_png(tmp_path / "truth" / "a.png", truth)
    own = evaluate(run, folder(), None, DECODE, "dataset", EvaluateSettings(at="image"))
    assert iou(own)["segment"] == pytest.approx(7 / 8)
    assert iou(own)["all_foreground"] == pytest.approx(56 / 256)
    # At the engine's size NEAREST takes the odd ones of the columns, which hides the difference.
    assert iou(evaluate(run, folder(), None, DECODE, "dataset"))["segment"] == 1
    ignored = np.zeros((16, 32), dtype=np.bool_)
    ignored[4:8, 12] = True  # half of what is wrong
    write_png(folder("ignore").url + "/a.png", ignored)
    settings = EvaluateSettings(at="image")
    own = evaluate(run, folder(), folder("ignore"), DECODE, "dataset", settings)
    assert iou(own)["segment"] == pytest.approx(56 / 60)


def test_ignore_mask_of_another_size(run, folder, tmp_path):
    write_shard(run, "segment", 0, [row("a.jpg", TRUTH)])
    truth = folder(a=TRUTH)
    write_png(folder("ignore").url + "/a.png", np.zeros((16, 16), dtype=np.bool_))
    assert iou(evaluate(run, truth, folder("ignore"), DECODE, "dataset"))["segment"] == 1
    settings = EvaluateSettings(at="image")
    with pytest.raises(TruthError, match=r"ignored pixels of a\.jpg is 16x16, its truth 8x8"):
        evaluate(run, truth, folder("ignore"), DECODE, "dataset", settings)


@pytest.mark.parametrize(
    ("method", "shown"),
    [
        ("segment", "IEM"),
        ("segment_44", "IEM, side 44"),
        ("grabcut_112", "GrabCut, side 112"),
        ("centre_square_44", "centre square, side 44"),
        ("all_foreground", "all foreground"),
        ("otsu", "Otsu"),
    ],
)
def test_label(method, shown):
    assert label(method) == shown


def test_pixel_baselines(segmented, pictures, picture_folder, tmp_path):
    """They see the decoded images of the run, each under its own name; one that is gone is left."""
    folder = shutil.copytree(picture_folder, tmp_path / "copy")
    write_masks(tmp_path / "truth", pictures)
    run = segmented(folder=folder).run
    gone, kept = sorted(path.name for path in folder.iterdir())[:2]
    (folder / gone).unlink()
    truth = MaskFolder(str(tmp_path / "truth"), SETTINGS.decode)
    settings = EvaluateSettings(baselines=("grabcut", "otsu"), grabcut_sides=(12, 24))
    evaluation = evaluate(run, truth, None, SETTINGS.decode, "dataset", settings)
    images = {scores.method: scores.num_images for scores in evaluation.methods}
    every = images["segment"]
    assert {"grabcut_12": every - 1, "grabcut_24": every - 1, "otsu": every - 1}.items() <= (
        images.items()
    )
    pixels = decode((folder / kept).read_bytes(), SETTINGS.decode).pixels
    with Image.open(folder / kept) as image:
        whole = truth.read(kept, *image.size)
    wanted = mask_to_square(whole, SETTINGS.decode.size_px, SETTINGS.decode.resize)
    for method, mask in (("grabcut_24", grabcut(pixels, 24)), ("otsu", otsu(pixels))):
        score = as_labelled(confusion(mask[None], wanted[None]))[0]
        np.testing.assert_allclose(read_scores(run, METRICS)[method][kept], score)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"at": "truth"}, "evaluate.at is 'truth'; it must be one of engine, image"),
        (
            {"baselines": ("otsu", "magic")},
            r"baselines is \['otsu', 'magic'\]; it must be a list, each one of grabcut, otsu",
        ),
        ({"min_score": -1.0}, "evaluate.min_score is -1.0"),
        ({"grabcut_sides": (0,)}, r"grabcut_sides is \[0\]; it must be a list, each at least 1"),
        ({"resamples": -1}, "evaluate.resamples is -1"),
    ],
)
def test_settings_that_cannot_be_used(option, message):
    with pytest.raises(SettingsError, match=message):
        EvaluateSettings(**option)
