from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from iem_batch.errors import SettingsError, SourceError, StepMissingError
from iem_batch.iem.backends import load_backend
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.run import schema
from iem_batch.run.layout import part
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import predict_probability
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import ModelRecord, load_weights, save_weights
from iem_batch.steps.do import do
from iem_batch.steps.fuse.fusion import graph_cut
from iem_batch.steps.predict.settings import PredictSettings
from iem_batch.steps.predict.step import PredictStep, build
from iem_batch.steps.refine.settings import RefineSettings
from iem_batch.steps.refine.step import build as build_refine
from iem_batch.steps.refine.step import cut_out
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.train.layout import WEIGHTS
from tests.steps.hand_made import commit_mark
from tests.steps.jobs import IEM, SETTINGS, job_at

Segmented = Callable[..., SegmentStep]
SEGNET = SETTINGS.segnet


def predicted(step: SegmentStep, **options: bool) -> PredictStep:
    """Predict with an untrained network: its masks are as good as any for these tests."""
    torch.manual_seed(0)
    weights = save_weights(SegNet(SEGNET), ModelRecord(segnet=SEGNET))
    commit_mark(step.run, "train", 0, {WEIGHTS: step.run.write_bytes(WEIGHTS, weights)}, 12)
    job = job_at(step.run, overwrite=True, predict=PredictSettings(threshold=0.4, **options))
    do(job, "predict")
    return build(job)


def test_rows_hold_the_probability_the_mask_and_its_error(segmented: Segmented) -> None:
    """Catches a network fed with other pixels than it was trained on, and rows out of order."""
    step = segmented(shard_size=5)
    predicted(step)
    loaded = step.load(1)
    model = load_weights(step.run.read_bytes(WEIGHTS), SEGNET)
    probability_BHW = predict_probability(model, loaded.image_BHW3)
    table = step.run.read_table(part("predict", 1))
    assert table.schema.equals(schema.PREDICTED, check_metadata=True)
    assert table["image_id"].to_pylist() == loaded.image_id
    for row, probability_HW in zip(table.to_pylist(), probability_BHW, strict=True):
        grey_HW = decode_pixels(row["probability"]["bytes"])
        assert np.abs(grey_HW / 255 - probability_HW).max() < 0.51 / 255
        mask_HW = decode_mask(row["mask"]["bytes"])
        np.testing.assert_array_equal(mask_HW, probability_HW > 0.4)
        assert row["area"] == pytest.approx(mask_HW.mean())
        assert row["error"] == pytest.approx(row["error_foreground"] + row["error_background"])


def test_without_probabilities_the_other_columns_are_the_same(segmented: Segmented) -> None:
    step = segmented(shard_size=5)
    predicted(step)
    with_it = step.run.read_table(part("predict", 1))
    predicted(step, probability=False)
    table = step.run.read_table(part("predict", 1))
    assert table.schema.equals(schema.REFINED, check_metadata=True)
    assert table.equals(with_it.drop_columns(["probability"]))


def test_weights_of_another_network_are_refused(segmented: Segmented) -> None:
    """Catches a network made as the weights say, whatever the settings do."""
    step = predicted(segmented(shard_size=5))
    with pytest.raises(SettingsError, match="segnet.width is 4 there and 8 in the settings"):
        replace(step, segnet=SegNetSettings(width=8, num_blocks=1)).open_engine(1)


def test_what_predictions_depend_on(segmented: Segmented) -> None:
    """Catches shards of one run of which some keep the probabilities."""
    step = predicted(segmented(shard_size=5))
    for changed in ({"probability": False}, {"threshold": 0.6}):
        other = replace(step, predict=replace(step.predict, **changed))
        assert other.depends_on != step.depends_on


def test_refined_masks_start_from_the_predicted_ones(segmented: Segmented) -> None:
    """Catches IEM started from the squares, or from the mask of another image."""
    step = segmented(shard_size=5)
    predicted(step)
    do(job_at(step.run, refine=RefineSettings(method="iem")), "refine")
    loaded = step.load(2)
    predictions = step.run.read_table(part("predict", 2)).to_pylist()
    first_mask_BHW = np.array([decode_mask(row["mask"]["bytes"]) for row in predictions])
    result = load_backend("torch")(loaded.image_BHW3, first_mask_BHW[:, None], IEM, num_threads=1)
    table = step.run.read_table(part("refine", 2))
    assert table.schema.equals(schema.REFINED, check_metadata=True)
    assert table["image_id"].to_pylist() == loaded.image_id
    for row, mask_HW in zip(table.to_pylist(), result.mask_BSHW[:, 0], strict=True):
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), mask_HW)


def test_a_graph_cut_starts_from_the_probabilities(segmented: Segmented) -> None:
    """Catches a cut of another image, and a mask scored that is not the one stored."""
    step = segmented(shard_size=5)
    predicted(step)
    do(job_at(step.run), "fuse")
    do(job_at(step.run), "refine")
    loaded = step.load(1)
    predictions = step.run.read_table(part("predict", 1)).to_pylist()
    rows = step.run.read_table(part("refine", 1)).to_pylist()
    labels = step.run.read_table(part("fuse", 1)).to_pylist()
    masks = []
    for image_HW3, row, label in zip(loaded.image_BHW3, predictions, labels, strict=True):
        probability = decode_pixels(row["probability"]["bytes"]).astype(int)
        of_label = 255 * decode_mask(label["mask"]["bytes"])
        share = ((4 * probability + of_label) // 5) / 255
        certain = [share < 0.1, share > 0.9, share > 0.5], [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_FGD]
        trimap = np.select(*certain, cv2.GC_PR_BGD).astype(np.uint8)
        masks.append(graph_cut(image_HW3, trimap, iterations=1))
    scores = load_backend("torch")(
        loaded.image_BHW3, np.array(masks)[:, None], replace(IEM, iterations=0), num_threads=1
    )
    for row, mask_HW, error in zip(rows, masks, scores.error_BS[:, 0], strict=True):
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), mask_HW)
        assert row["error"] == error


@pytest.mark.parametrize(("probability", "is_foreground"), [(180, False), (250, True)])
def test_the_frame_is_foreground_only_where_the_network_is_sure(
    probability: int, is_foreground: bool
) -> None:
    """Catches a street below a car, or a sky, that is called foreground with the subject."""
    image_HW3 = np.random.default_rng(0).integers(0, 50, (64, 64, 3), np.uint8)
    image_HW3[16:48, 16:48] += 200
    mask_HW = cut_out(image_HW3, np.full((64, 64), probability, np.uint8))
    frame_HW = np.ones((64, 64), np.bool_)
    frame_HW[2:-2, 2:-2] = False
    assert (mask_HW[frame_HW] == is_foreground).all()
    assert mask_HW[16:48, 16:48].all()


def test_a_graph_cut_needs_probabilities(segmented: Segmented) -> None:
    step = segmented(shard_size=5)
    predicted(step, probability=False)
    with pytest.raises(StepMissingError, match=r"--predict.probability=true"):
        do(job_at(step.run, predict=PredictSettings(probability=False)), "refine")


def test_an_image_that_vanished_after_it_was_predicted_is_named(
    segmented: Segmented, picture_folder: Path
) -> None:
    """Catches masks that slip to the next image when one is missing."""
    step = segmented(shard_size=5)
    predicted(step)
    do(job_at(step.run), "fuse")
    (picture_folder / "disc_006.png").unlink()
    with pytest.raises(SourceError, match="the first is disc_006.png"):
        build_refine(job_at(step.run)).load(1)


def test_a_shard_without_a_single_good_image(segmented: Segmented, picture_folder: Path) -> None:
    for file in sorted(picture_folder.iterdir())[:5]:
        file.write_bytes(b"")
    step = segmented(shard_size=5)
    predicted(step)
    for name in ("fuse", "refine"):
        do(job_at(step.run), name)
    assert len(step.run.read_table(part("refine", 0))) == 0
    assert len(step.run.read_table(part("refine", 1))) == 5


def test_a_threshold_that_is_no_probability_is_refused() -> None:
    with pytest.raises(SettingsError, match="predict.threshold is 1.5"):
        PredictSettings(threshold=1.5)
