from dataclasses import replace

import pytest

from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.train.verdict import Learned, more_labels, verdict
from tests.steps.corpora import take_all

LEARNED = Learned(
    num_labels=40, num_held_back=4, agreement=0.612, all_labels="--topk.k 87", num_images=87
)
ENOUGH = replace(LEARNED, num_labels=201, num_held_back=20, all_labels=None, num_images=201)


def test_too_few_and_low() -> None:
    assert verdict(LEARNED) == (
        "40 labels are too few: SegNet agrees with 61 % of the 4 held-back labels; "
        "take all 87: --topk.k 87"
    )
    assert verdict(replace(LEARNED, all_labels=None)).endswith(
        "; all there are were taken: add photos to the source (run --extend)"
    )


def test_few_but_high() -> None:
    assert verdict(replace(LEARNED, agreement=0.7)) == (
        "SegNet agrees with 70 % of the 4 held-back labels, of 40 labels in all, which are few; "
        "take all 87: --topk.k 87"
    )


def test_many_and_high() -> None:
    assert verdict(replace(ENOUGH, agreement=0.7)) == (
        "SegNet agrees with 70 % of the 20 held-back labels, of 201 labels in all"
    )


def test_many_and_low() -> None:
    assert verdict(replace(ENOUGH, agreement=0.69)) == (
        "SegNet agrees with only 69 % of the 20 held-back labels, of 201 labels in all; train for "
        "longer (--train.epochs), and look in the report whether the labels agree with one another"
    )


def test_200_labels_are_few() -> None:
    assert "which are few" in verdict(replace(ENOUGH, agreement=0.7, num_labels=200))


@pytest.mark.parametrize(
    ("num_labels", "said"),
    [
        (39, "as fewer than 40 are too few for that; all there are were taken: add photos"),
        (40, "as export.val_share holds none back; all there are were taken: add photos"),
        (201, "as export.val_share holds none back"),
    ],
)
def test_nothing_held_back(num_labels: int, said: str) -> None:
    learned = replace(ENOUGH, num_labels=num_labels, num_held_back=0, agreement=None)
    assert verdict(learned).startswith(
        f"none of the {num_labels} labels was held back to see how well SegNet has learned them, "
        f"{said}"
    )
    assert ("add photos" in verdict(learned)) == (num_labels <= 200)


def test_the_flag_that_takes_more() -> None:
    """Of 100 images 3 have no mask with two sides, and 10 an area that is not allowed."""
    taken = replace(take_all(100), num_undefined=3, num_outside=10, num_selected=40)
    assert more_labels(taken, TopkSettings(k=40)) == (87, "--topk.k 87")
    assert more_labels(taken, TopkSettings(fraction=0.4)) == (87, "--topk.fraction 1")
    assert more_labels(replace(taken, num_selected=87), TopkSettings()) == (87, None)
    # Near-duplicates are no labels to take.
    alike = replace(taken, num_selected=80, num_near_duplicates=7)
    assert more_labels(alike, TopkSettings()) == (87, None)
