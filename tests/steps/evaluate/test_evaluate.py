import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from iem_batch.errors import MaskError, SettingsError, StepMissingError
from iem_batch.images.decode import decode
from iem_batch.images.geometry import mask_to_square
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.metrics import METRICS, as_labelled, confusion
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.steps.do import do
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.compare import read_scores
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.step import SUMMARY, read_evaluation
from iem_batch.steps.evaluate.table import notes
from iem_batch.steps.fuse.settings import FuseSettings
from tests.pictures import write_masks
from tests.steps.evaluate.evaluations import evaluate, plan_noise, write_both
from tests.steps.hand_made import SIZE, prediction, row, square, write_png, write_shard
from tests.steps.jobs import SETTINGS, job_at

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


@pytest.fixture
def photos(run, tmp_path):
    """Plans photos of noise."""

    def plan(*names, **sizes):
        plan_noise(run, tmp_path / "photos", names, **sizes)

    return plan


def iou(evaluation):
    return {scores.method: scores.as_labelled["iou"] for scores in evaluation.methods}


def test_means_over_shards_and_images_without_truth(run, folder, photos):
    photos(*(f"{name}.jpg" for name in "abcde"), shard_size=2)
    write_shard(run, "fuse", 0, [row("a.jpg", TRUTH), row("b.jpg", HALF)])
    write_shard(run, "fuse", 1, [row("c.jpg", HALF), row("d.jpg", HALF)])
    write_shard(run, "fuse", 2, [row("e.jpg", HALF)])
    truth = folder(a=TRUTH, b=TRUTH, d=~HALF)
    evaluation = evaluate(run, truth, None, DECODE, baselines=True)
    assert (evaluation.num_images, evaluation.num_without_truth) == (3, 2)
    # a: 1. b: 8 / 24. d: nothing in common with its complement.
    assert iou(evaluation)["fuse"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert evaluation.methods[0].best_polarity["iou"] == pytest.approx((1 + 1 / 3 + 1) / 3)
    # Baselines: the square of side 5 in rows and columns 1 to 5, and everything.
    assert iou(evaluation)["centre_square"] == pytest.approx((9 / 32 + 9 / 32 + 13 / 60) / 3)
    assert iou(evaluation)["all_foreground"] == pytest.approx((1 / 4 + 1 / 4 + 3 / 4) / 3)


def test_all_steps_that_exist_are_scored(run, folder, photos):
    photos("a.jpg", "b.jpg", shard_size=1)
    write_both(run, 0, [row("a.jpg", HALF)])
    write_both(run, 1, [row("b.jpg", HALF)])
    # Predictions in another order, with an image that has no mask; only one shard is done.
    write_shard(run, "predict", 0, [prediction("x.jpg", HALF), prediction("a.jpg", TRUTH)])
    write_shard(run, "refine", 0, [row("a.jpg", ~TRUTH, side=None)])
    write_shard(run, "refine", 1, [])
    evaluation = evaluate(run, folder(a=TRUTH, b=TRUTH), None, DECODE, "cut", baselines=True)
    assert [(scores.method, scores.num_images) for scores in evaluation.methods] == [
        ("segment", 2),
        ("fuse", 2),
        ("predict", 1),
        ("refine", 1),
        *((name, 2) for name in BASELINES),
    ]
    assert iou(evaluation)["predict"] == 1
    assert iou(evaluation)["refine"] == 0


def test_choice_of_a_first_mask_follows_the_error(run, folder, photos):
    photos("a.jpg", "b.jpg")
    rows = [
        row("a.jpg", TRUTH, error=0.3, side=2),
        row("a.jpg", HALF, error=0.6, side=4),
        row("b.jpg", HALF, error=0.4, side=2),
        row("b.jpg", TRUTH, error=0.2, side=4),
    ]
    write_shard(run, "segment", 0, rows)
    truth = folder(a=TRUTH, b=TRUTH)

    def fused(method):
        do(job_at(run, decode=DECODE, fuse=FuseSettings(method=method), overwrite=True), "fuse")
        found = evaluate(run, truth, None, DECODE, method)
        return found, {name: ids["b.jpg"][0] for name, ids in read_scores(run).items()}

    by_dataset, of_b = fused("dataset")
    assert iou(by_dataset) == pytest.approx({"fuse": (1 / 3 + 1) / 2})
    assert of_b == {"fuse": 1}  # side 4: mean error 0.40 against 0.35
    by_image, of_b = fused("image")
    assert iou(by_image) == pytest.approx({"fuse": 1 / 3})  # a with side 4, b with side 2
    # Where masks are fused, those of one first mask are scored beside them, as the paper has them.
    by_vote, of_b = fused("vote")
    assert list(iou(by_vote)) == ["segment", "fuse"]
    assert iou(by_vote)["segment"] == pytest.approx((1 / 3 + 1) / 2)
    assert of_b["segment"] == 1


def test_ignored_pixels_count_nowhere(run, folder):
    write_shard(run, "fuse", 0, [row("a.jpg", HALF), row("b.jpg", HALF), row("c.jpg", HALF)])
    truth = folder(a=TRUTH, b=TRUTH, c=TRUTH)
    # What HALF has and TRUTH has not is ignored in a; all of b is; c has no ignore mask.
    ignore = folder("ignore", a=HALF & ~TRUTH, b=square(0, 0, SIZE))
    evaluation = evaluate(run, truth, ignore, DECODE)
    assert (evaluation.num_images, evaluation.num_without_truth) == (2, 1)
    assert iou(evaluation)["fuse"] == pytest.approx((8 / 16 + 8 / 24) / 2)


def test_files(run, folder, photos, tmp_path):
    photos("a.jpg", "b.jpg", shard_size=1)
    write_shard(run, "fuse", 0, [row("a.jpg", TRUTH, error=0.7)])
    write_shard(run, "fuse", 1, [row("b.jpg", HALF)])
    evaluation = evaluate(run, folder(a=TRUTH), None, DECODE, baselines=True)
    summary = json.loads(run.read_bytes(SUMMARY))
    assert summary["methods"][0]["as_labelled"] == evaluation.methods[0].as_labelled
    assert (summary["num_images"], summary["ignore_url"]) == (1, None)
    table = pq.read_table(tmp_path / "run" / "evaluate" / "per_image")
    assert table.schema.equals(schema.EVALUATION)
    assert table["method"].to_pylist() == ["fuse", *BASELINES]
    assert table["error"].to_pylist() == [0.7, *[None] * len(BASELINES)]
    found = dict(zip(table["method"].to_pylist(), table["iou"].to_pylist(), strict=True))
    wanted = {"fuse": 1, "centre_square": 9 / 32, "all_foreground": 1 / 4}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)


def test_second_evaluation_leaves_nothing_of_the_first(run, folder):
    write_shard(run, "fuse", 0, [row("a.jpg", TRUTH)])
    write_shard(run, "fuse", 1, [row("b.jpg", TRUTH)])
    evaluate(run, folder(a=TRUTH, b=TRUTH), None, DECODE)
    evaluate(run, folder("other", b=TRUTH), None, DECODE)
    assert run.names("evaluate/per_image") == ["part-00001.parquet"]


def test_nothing_to_evaluate(run, folder):
    truth = folder(other=TRUTH)
    with pytest.raises(StepMissingError, match="evaluate needs segment and fuse first"):
        evaluate(run, truth, None, DECODE)
    write_shard(run, "fuse", 0, [row("a.jpg", TRUTH)])
    with pytest.raises(MaskError, match=r"image a\.jpg, the truth has other\.png"):
        evaluate(run, truth, None, DECODE)


def test_intervals_hold_the_mean_and_do_not_change(run, folder):
    rng = np.random.default_rng(0)
    masks = {f"a{k}": rng.random((SIZE, SIZE)) < 0.5 for k in range(20)}
    write_shard(run, "fuse", 0, [row(f"{name}.jpg", TRUTH) for name in masks])
    truth = folder(**masks)
    evaluation = evaluate(run, truth, None, DECODE)
    iem = evaluation.methods[0]
    for means, ends in (
        (iem.as_labelled, iem.as_labelled_interval),
        (iem.best_polarity, iem.best_polarity_interval),
    ):
        assert all(ends[name][0] < means[name] < ends[name][1] for name in means)
    assert evaluate(run, truth, None, DECODE) == evaluation
    assert read_evaluation(run) == evaluation
    without = evaluate(run, truth, None, DECODE, resamples=0)
    assert without.methods[0].as_labelled_interval == {}


def test_worst_and_best_images(run, folder):
    rows = [row("a.jpg", TRUTH), row("b.jpg", HALF), row("c.jpg", ~TRUTH), row("d.jpg", TRUTH)]
    write_shard(run, "fuse", 0, rows)
    truth = folder(a=TRUTH, b=TRUTH, c=TRUTH, d=TRUTH)
    evaluation = evaluate(run, truth, None, DECODE, num_listed=2)
    assert evaluation.methods[0].worst_images == pytest.approx({"c.jpg": 0, "b.jpg": 1 / 3})
    assert list(evaluation.methods[0].best_images) == ["a.jpg", "d.jpg"]
    assert list(notes(evaluation)) == [
        "the engine saw 100.0 % of the photos and 100.0 % of their true foreground",
        "IEM, lowest IoU: c.jpg 0, b.jpg 33",
        "IEM, highest IoU: a.jpg 100, d.jpg 100",
    ]


def test_at_the_size_of_the_image(run, folder, photos, tmp_path):
    """The image is 32 x 16, the engine sees columns 8 to 23 at half their resolution."""
    decode = DecodeSettings(size_px=SIZE, fit="crop", resize="nearest")
    photos("a.jpg", width=32, height=16)
    mask = square(2, 2, 4)
    write_shard(run, "fuse", 0, [row("a.jpg", mask) | {"width": 32, "height": 16}])
    truth = np.zeros((16, 32), dtype=np.bool_)
    truth[4:12, 13:20] = True  # the mask is rows 4 to 11, columns 12 to 19
    truth[0, :8] = True  # not seen, so it is taken for background: 8 pixels
    folder()
    write_png(tmp_path / "truth" / "a.png", truth)
    own = evaluate(run, folder(), None, decode, baselines=True)
    assert iou(own)["fuse"] == pytest.approx(56 / (64 + 8))
    assert iou(own)["all_foreground"] == pytest.approx(56 / (256 + 8))
    assert (own.seen_pixels, own.seen_foreground) == (1 / 2, 56 / 64)
    # At the engine's size NEAREST takes the odd ones of the columns, which hides the difference.
    assert iou(evaluate(run, folder(), None, decode, at="engine"))["fuse"] == 1
    ignored = np.zeros((16, 32), dtype=np.bool_)
    ignored[4:8, 12] = True  # half of what is wrong in what is seen
    write_png(folder("ignore").url + "/a.png", ignored)
    own = evaluate(run, folder(), folder("ignore"), decode)
    assert iou(own)["fuse"] == pytest.approx(56 / (60 + 8))


def test_ignore_mask_of_another_size(run, folder, tmp_path):
    write_shard(run, "fuse", 0, [row("a.jpg", TRUTH)])
    truth = folder(a=TRUTH)
    write_png(folder("ignore").url + "/a.png", np.zeros((16, 16), dtype=np.bool_))
    assert iou(evaluate(run, truth, folder("ignore"), DECODE, at="engine"))["fuse"] == 1
    with pytest.raises(MaskError, match=r"ignored pixels of a\.jpg is 16x16, its truth 8x8"):
        evaluate(run, truth, folder("ignore"), DECODE)


def test_pixel_baselines(fused, pictures, picture_folder, tmp_path):
    """They see the decoded images of the run, each under its own name; one that is gone is left."""
    folder = shutil.copytree(picture_folder, tmp_path / "copy")
    write_masks(tmp_path / "truth", pictures)
    run = fused(folder=folder)
    gone, kept = sorted(path.name for path in folder.iterdir())[:2]
    (folder / gone).unlink()
    truth = MaskFolder(str(tmp_path / "truth"), SETTINGS.decode)
    evaluation = evaluate(run, truth, None, SETTINGS.decode, at="engine", baselines=True)
    images = {scores.method: scores.num_images for scores in evaluation.methods}
    every = images["fuse"]
    assert every > 1
    assert images == {"fuse": every, **dict.fromkeys(BASELINES, every - 1)}
    pixels = decode((folder / kept).read_bytes(), SETTINGS.decode).pixels
    with Image.open(folder / kept) as image:
        whole = truth.read(kept, *image.size)
    wanted = mask_to_square(whole, SETTINGS.decode)
    for method, baseline in BASELINES.items():
        score = as_labelled(confusion(baseline.draw(pixels)[None], wanted[None]))[0]
        np.testing.assert_allclose(read_scores(run, METRICS)[method][kept], score)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"at": "truth"}, "evaluate.at is 'truth'; it must be one of image, engine"),
        ({"min_score": -1.0}, "evaluate.min_score is -1.0"),
        ({"resamples": -1}, "evaluate.resamples is -1"),
    ],
)
def test_settings_that_cannot_be_used(option, message):
    with pytest.raises(SettingsError, match=message):
        EvaluateSettings(**option)


def test_a_coco_file_with_boxes_and_one_with_a_broken_polygon(run, tmp_path, photos, capsys):
    """What has no mask is told in a line; what cannot be drawn leaves the scores before alone."""
    photos("a.jpg")
    write_both(run, 0, [row("a.jpg", TRUTH)])
    polygon = {"image_id": "a", "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    box = {"image_id": "a", "bbox": [0, 0, 4, 4]}
    path = tmp_path / "found.json"
    path.write_text(json.dumps([polygon, box, box]))
    settings = EvaluateSettings(truth=str(path), baselines=False)
    job = job_at(run, decode=DECODE, fuse=FuseSettings(method="dataset"), evaluate=settings)
    do(job, "evaluate")
    assert "evaluate: 2 annotations without a mask are passed over\n" in capsys.readouterr().out
    before = read_evaluation(run)
    assert before is not None
    assert iou(before)["fuse"] == 1
    path.write_text(
        json.dumps([polygon, {"image_id": "a", "segmentation": [[0, 0, 9, 9, 9, None]]}])
    )
    with pytest.raises(
        MaskError, match=r"a in .*found\.json has a segmentation that cannot be read"
    ):
        do(job, "evaluate")
    assert read_evaluation(run) == before
