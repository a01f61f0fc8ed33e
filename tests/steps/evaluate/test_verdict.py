import pytest

from iem_batch.steps.evaluate.bootstrap import compare_paired
from iem_batch.steps.evaluate.evaluation import Evaluation, MethodScores
from iem_batch.steps.evaluate.table import verdict


def scores(method: str, iou: float, labels: float | None = None, *ends: float) -> MethodScores:
    return MethodScores(
        method=method,
        num_images=50,
        as_labelled={"iou": iou},
        best_polarity={"iou": iou},
        labels_iou=labels,
        labels_interval=list(ends),
    )


def said(*methods: MethodScores) -> str:
    return verdict(
        Evaluation(
            truth_url="truth",
            ignore_url=None,
            num_images=50,
            num_without_truth=0,
            seen_pixels=1.0,
            seen_foreground=1.0,
            methods=list(methods),
        )
    )


FUSED = scores("fuse", 0.558)


def test_below_its_labels() -> None:
    assert said(FUSED, scores("predict", 0.533, 0.558, -0.041, -0.009)) == (
        "IoU of 50 images: IEM 55.8; "
        "SegNet is below its labels here: 53.3 against 55.8 (-4.1 to -0.9)"
    )


@pytest.mark.parametrize(
    ("iou", "ends", "place"),
    [
        (0.6, (0.01, 0.07), "above"),
        (0.6, (0.0, 0.07), "not surely above or below"),
        (0.6, (-0.01, 0.07), "not surely above or below"),
        (0.5, (-0.07, 0.0), "not surely above or below"),
        (0.5, (-0.07, -0.01), "below"),
        (0.6, (), "above"),
        (0.5, (), "below"),
        (0.558, (), "not surely above or below"),
    ],
)
def test_boundaries(iou: float, ends: tuple[float, ...], place: str) -> None:
    """Without an interval the mean alone decides."""
    line = said(FUSED, scores("refine", iou, 0.558, *ends))
    assert f"SegNet, refined is {place} its labels here: {100 * iou:.1f} against 55.8" in line


def test_both_are_compared() -> None:
    line = said(FUSED, scores("predict", 0.5, 0.558), scores("refine", 0.6, 0.558))
    assert "SegNet is below its labels" in line
    assert "SegNet, refined is above its labels" in line


def test_later_rounds_are_compared_with_the_first_labels() -> None:
    first = scores("predict_round_1", 0.55, 0.558)
    line = said(FUSED, first, scores("predict", 0.6, 0.558))
    assert "SegNet, round 2 is above the labels of the first round here: 60.0" in line


def test_nothing_trained() -> None:
    assert said(FUSED) == "IoU of 50 images: IEM 55.8"


def test_paired_by_image() -> None:
    """Every image is 0.1 worse, so the difference is sure however the images differ."""
    labels = {"a": 0.3, "b": 0.9, "c": 0.6, "not predicted": 0.0}
    paired = compare_paired({"c": 0.5, "a": 0.2, "b": 0.8}, labels, 100, 0)
    assert paired.other_mean == pytest.approx(0.6)
    assert paired.interval == pytest.approx([-0.1, -0.1])
    assert compare_paired({"a": 0.2}, labels, 0, 0).interval == []
