import pytest

from iem_batch.segnet.stopping import Patience, best_epoch, is_over, patience_for


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([], None),
        ([None, None], None),
        ([0.0], 1),
        ([0.3, 0.5, 0.4], 2),
        ([0.3, 0.5, 0.5], 2),  # the first of equals
        ([0.5, 0.4, 0.6], 3),
    ],
)
def test_best_epoch(scores: list[float | None], best: int | None) -> None:
    assert best_epoch(scores) == best


@pytest.mark.parametrize(
    ("scores", "epochs", "patience", "over"),
    [
        ([], 5, 2, False),
        ([0.5, 0.4], 5, 2, False),  # one in turn is no better
        ([0.5, 0.4, 0.4], 5, 2, True),  # two are
        ([0.5, 0.4, 0.6], 5, 2, False),  # a better one begins the count anew
        ([0.5, 0.5, 0.5], 5, 2, True),  # equal is not better
        ([0.5, 0.6, 0.7], 3, 2, True),  # all epochs are done
        ([0.5, 0.1, 0.1, 0.1], 5, None, False),
        ([None] * 4, 5, 1, False),  # nothing is held back
        ([None] * 5, 5, 1, True),
        ([0.5, 0.4, 0.4], 4, "auto", False),  # a quarter of 4 is 1, but 3 are waited for
        ([0.5, 0.4, 0.4, 0.4], 6, "auto", True),
        ([0.5] + [0.4] * 9, 40, "auto", False),
        ([0.5] + [0.4] * 10, 40, "auto", True),  # a quarter of 40
    ],
)
def test_is_over(scores: list[float | None], epochs: int, patience: Patience, over: bool) -> None:
    assert is_over(scores, epochs, patience) == over


@pytest.mark.parametrize(
    ("patience", "num_held_back", "used"),
    [("auto", 19, None), ("auto", 20, "auto"), (4, 1, 4), (None, 500, None)],
)
def test_too_few_choose_no_epoch(patience: Patience, num_held_back: int, used: Patience) -> None:
    assert patience_for(patience, num_held_back) == used
