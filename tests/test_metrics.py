import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.errors import SettingsError
from iem_batch.metrics import METRICS, as_labelled, best_polarity, confusion

ONE = [[1, 1, 0, 0], [1, 1, 0, 0]]  # the left half of 2 x 4
TOP = [[1, 1, 1, 1], [0, 0, 0, 0]]
CORNER = [[1, 0, 0, 0], [0, 0, 0, 0]]
NONE = [[0, 0, 0, 0], [0, 0, 0, 0]]
ALL = [[1, 1, 1, 1], [1, 1, 1, 1]]


def batch(*masks):
    return np.array(masks, dtype=np.bool_)


def test_counts_worked_by_hand():
    counts = confusion(batch(ONE, CORNER), batch(TOP, ONE))
    assert counts.both_B.tolist() == [2, 1]
    assert counts.mask_only_B.tolist() == [2, 0]
    assert counts.truth_only_B.tolist() == [2, 3]
    assert counts.neither_B.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("mask", "truth", "expected"),
    [
        # accuracy, iou, miou, dice
        (ONE, ONE, [1, 1, 1, 1]),
        (ONE, TOP, [4 / 8, 2 / 6, (2 / 6 + 2 / 6) / 2, 4 / 8]),
        (CORNER, ONE, [5 / 8, 1 / 4, (1 / 4 + 4 / 7) / 2, 2 / 5]),
        (NONE, CORNER, [7 / 8, 0, (0 + 7 / 8) / 2, 0]),
        (ALL, CORNER, [1 / 8, 1 / 8, (1 / 8 + 0) / 2, 2 / 9]),
    ],
)
def test_scores_worked_by_hand(mask, truth, expected):
    score_BM = as_labelled(confusion(batch(mask), batch(truth)))
    assert METRICS == ("accuracy", "iou", "miou", "dice")
    np.testing.assert_allclose(score_BM, [expected])


@pytest.mark.parametrize(
    ("mask", "truth", "expected"),
    [(NONE, NONE, [1, 1, 1, 1]), (ALL, ALL, [1, 1, 1, 1]), (ALL, NONE, [0, 0, 0, 0])],
)
def test_empty_regions_agree_and_give_no_nan(mask, truth, expected):
    """0/0 must not be NaN: one empty truth would otherwise blank the mean of a whole run."""
    np.testing.assert_array_equal(as_labelled(confusion(batch(mask), batch(truth))), [expected])


def test_ignored_pixels_count_nowhere():
    counts = confusion(batch(ONE), batch(TOP), ignore_BHW=batch(CORNER))
    # The ignored corner is foreground in both, so only `both` loses a pixel.
    np.testing.assert_allclose(as_labelled(counts), [[3 / 7, 1 / 5, (1 / 5 + 2 / 6) / 2, 2 / 6]])


def test_everything_ignored_scores_one():
    counts = confusion(batch(ONE), batch(TOP), ignore_BHW=batch(ALL))
    np.testing.assert_array_equal(as_labelled(counts), [[1, 1, 1, 1]])


def test_best_polarity_chooses_for_each_metric():
    """Choosing one polarity for all metrics of an image is another protocol than the authors'."""
    mask, truth = [[1, 1, 1, 1, 1, 1, 1, 1]], [[1, 1, 1, 0, 0, 0, 0, 0]]
    # Mask: accuracy 3/8, IoU 3/8. Complement: accuracy 5/8, IoU 0. Each takes its better one.
    counts = confusion(batch(mask), batch(truth))
    np.testing.assert_allclose(best_polarity(counts)[0, :2], [5 / 8, 3 / 8])


def test_shapes_must_agree():
    with pytest.raises(SettingsError, match=r"\(1, 2, 4\), \(1, 1, 6\)"):
        confusion(batch(ONE), batch([[1, 1, 1, 0, 0, 0]]))


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(
    lambda bits: np.array(bits).reshape(1, 3, 4)
)


@given(mask=masks, truth=masks, ignore=masks)
def test_properties(mask, truth, ignore):
    counts = confusion(mask, truth, ignore)
    plain, best = as_labelled(counts), best_polarity(counts)
    assert ((plain >= 0) & (plain <= best) & (best <= 1)).all()
    accuracy, iou, _, dice = plain[0]
    assert dice == pytest.approx(2 * iou / (1 + iou))  # holds for every pair of sets
    # The complement's counts are those of the complemented mask.
    np.testing.assert_array_equal(
        as_labelled(counts.complement()), as_labelled(confusion(~mask, truth, ignore))
    )
    if not ignore.all():
        assert accuracy == pytest.approx((mask == truth)[~ignore].mean())
