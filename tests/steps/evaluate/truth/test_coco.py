import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from iem_batch.errors import TruthError
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.truth import open_truth
from iem_batch.steps.evaluate.truth.coco import CocoMasks
from tests.steps.evaluate.truth.test_folder import SETTINGS
from tests.steps.hand_made import SIZE, square

SMALL, LARGE = square(0, 0, 2), square(3, 3, 4)


def compressed(mask):
    run = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": run["size"], "counts": run["counts"].decode()}


def polygon(top, left, side):
    return [[left, top, left + side, top, left + side, top + side, left, top + side]]


@pytest.fixture
def data_set(tmp_path):
    """Writes a COCO file of some annotations of image 7, x/a.jpg, and opens it."""

    def write(*annotations, images=("x/a.jpg",), **options):
        stored = {
            "images": [
                {"id": 7 + k, "file_name": name, "width": SIZE, "height": SIZE}
                for k, name in enumerate(images)
            ],
            "categories": [{"id": 3, "name": "car"}, {"id": 4, "name": "dog"}],
            "annotations": [{"image_id": 7, "category_id": 3, **a} for a in annotations],
        }
        (tmp_path / "truth.json").write_text(json.dumps(stored))
        return CocoMasks(str(tmp_path / "truth.json"), **options)

    return write


def test_the_three_forms_give_one_mask(data_set):
    plain = {"size": [SIZE, SIZE], "counts": [0, 2, 6, 2, 54]}  # columns first
    for form in (compressed(SMALL), plain, polygon(0, 0, 2)):
        truth = data_set({"segmentation": form})
        np.testing.assert_array_equal(truth.read("x/a.jpg", SIZE, SIZE), SMALL)


def test_union_and_biggest(data_set):
    both = [{"segmentation": compressed(SMALL)}, {"segmentation": compressed(LARGE)}]
    mask = data_set(*both).read("x/a.jpg", SIZE, SIZE)
    np.testing.assert_array_equal(mask, SMALL | LARGE)
    crowd = {"segmentation": compressed(~SMALL), "iscrowd": 1}
    mask = data_set(*both, crowd, instances="biggest").read("x/a.jpg", SIZE, SIZE)
    np.testing.assert_array_equal(mask, LARGE)
    assert data_set(*both, crowd).read("x/a.jpg", SIZE, SIZE).all()


def test_category_and_score(data_set):
    annotations = [
        {"segmentation": compressed(SMALL), "score": 0.9},
        {"segmentation": compressed(LARGE), "score": 0.4},
        {"segmentation": compressed(~SMALL), "category_id": 4},
    ]
    truth = data_set(*annotations, category="car", min_score=0.5)
    np.testing.assert_array_equal(truth.read("x/a.jpg", SIZE, SIZE), SMALL)
    nothing = data_set(*annotations, category="car", min_score=0.95)
    assert not nothing.has("x/a.jpg")
    assert nothing.num_images == 0
    with pytest.raises(TruthError, match="no category 'bird'; its categories are: car, dog"):
        data_set(*annotations, category="bird")


def test_found_by_path_then_by_name(data_set):
    truth = data_set({"segmentation": compressed(SMALL)}, images=("x/a.jpg", "b.jpg"))
    assert [truth.has(name) for name in ("x/a.png", "a.jpg", "y/a", "b.jpg")] == [True] * 3 + [
        False  # it has no instance
    ]
    same = {"segmentation": compressed(SMALL), "image_id": 8}
    twice = data_set({"segmentation": compressed(SMALL)}, same, images=("x/a.jpg", "y/a.jpg"))
    assert twice.has("y/a.jpg")
    with pytest.raises(TruthError, match=r"x/a, y/a in .* could each be z/a\.jpg"):
        twice.has("z/a.jpg")


def test_bare_detections(tmp_path):
    """What detectors write is a list; image_id is then the only name an image has."""
    detections = [{"image_id": "a", "score": 0.8, "segmentation": polygon(3, 3, 4)}]
    (tmp_path / "found.json").write_text(json.dumps(detections))
    truth = open_truth(str(tmp_path / "found.json"), EvaluateSettings(), SETTINGS)
    np.testing.assert_array_equal(truth.read("a.jpg", SIZE, SIZE), LARGE)
    assert truth.num_images == 1
    assert truth.example() == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is not of COCO's form: KeyError 'annotations'"),
        ('{"annotations": [{"image_id": 1}]}', "KeyError 'segmentation'"),
        ("[1]", "is not of COCO's form"),
        ('[{"image_id": "", "segmentation": []}]', "ValueError"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(TruthError, match=message):
        CocoMasks(str(tmp_path / "truth.json"))


def test_broken_segmentations_are_named(data_set):
    for broken in ({"counts": [1]}, [[1, 2]], {"size": [SIZE, SIZE]}):
        truth = data_set({"segmentation": broken})
        with pytest.raises(TruthError, match=r"x/a in .*truth\.json has a segmentation"):
            truth.read("x/a.jpg", SIZE, SIZE)
    truth = data_set({"segmentation": compressed(SMALL)})
    with pytest.raises(TruthError, match=r"is 8x8, its image x/a\.jpg is 9x8"):
        truth.read("x/a.jpg", 9, SIZE)


def test_missing_file(tmp_path):
    with pytest.raises(TruthError, match=r"there is no .*no\.json"):
        CocoMasks(str(tmp_path / "no.json"))
