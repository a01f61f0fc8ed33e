import json
import math

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from iem_batch.errors import MaskError
from iem_batch.mask_files.coco import CocoMasks
from iem_batch.mask_files.coco_shapes import draw
from iem_batch.mask_files.open import open_masks
from iem_batch.steps.evaluate.settings import EvaluateSettings
from tests.mask_files.test_folder import SETTINGS
from tests.steps.hand_made import SIZE, square

MAX_PIXELS = SETTINGS.max_pixels
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
        return CocoMasks(str(tmp_path / "truth.json"), MAX_PIXELS, **options)

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
    with pytest.raises(MaskError, match="no category 'bird'; its categories are: car, dog"):
        data_set(*annotations, category="bird")


def test_found_by_path_then_by_name(data_set):
    truth = data_set({"segmentation": compressed(SMALL)}, images=("x/a.jpg", "b.jpg"))
    assert [truth.has(name) for name in ("x/a.png", "a.jpg", "y/a", "b.jpg")] == [True] * 3 + [
        False  # it has no instance
    ]
    same = {"segmentation": compressed(SMALL), "image_id": 8}
    twice = data_set({"segmentation": compressed(SMALL)}, same, images=("x/a.jpg", "y/a.jpg"))
    assert twice.has("y/a.jpg")
    with pytest.raises(MaskError, match=r"x/a, y/a in .* could each be z/a\.jpg"):
        twice.has("z/a.jpg")


def test_bare_detections(tmp_path):
    """What detectors write is a list; image_id is then the only name an image has."""
    detections = [{"image_id": "a", "score": 0.8, "segmentation": polygon(3, 3, 4)}]
    (tmp_path / "found.json").write_text(json.dumps(detections))
    truth = open_masks(str(tmp_path / "found.json"), EvaluateSettings(), SETTINGS)
    np.testing.assert_array_equal(truth.read("a.jpg", SIZE, SIZE), LARGE)
    assert truth.num_images == 1
    assert truth.example() == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "is not of COCO's form: KeyError 'annotations'"),
        ('{"annotations": [{"segmentation": [[1]]}]}', "KeyError 'image_id'"),
        ("[1]", "is not of COCO's form"),
        ('[{"image_id": "", "segmentation": [[1]]}]', "ValueError"),
        (
            '[{"image_id": "a", "score": null, "segmentation": [[1]]}]',
            "is not of COCO's form: Type",
        ),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(MaskError, match=message):
        CocoMasks(str(tmp_path / "truth.json"), MAX_PIXELS)


NUMBERS = [1, 1, 5, 1, 5, 5, 1, 5]


def run(counts, size=(SIZE, SIZE)):
    return {"size": list(size), "counts": counts}


@pytest.mark.parametrize(
    "broken",
    [
        "polygon",
        7,
        NUMBERS,  # a list of polygons is one level deeper
        [NUMBERS, [1, 2]],
        [[1, 2, 3, 4]],  # a box, which pycocotools would draw
        [NUMBERS[:-1]],
        [[*NUMBERS[:-1], "5"]],
        [[*NUMBERS[:-1], None]],
        [[*NUMBERS[:-1], math.nan]],
        [[*NUMBERS[:-1], math.inf]],
        [[*NUMBERS[:-1], 2e8]],
        [[*NUMBERS[:-1], 10**400]],
        [[1e12, 1e12, 1e12, 1e12 + 1, 1e12 + 2, 1e12 + 1]],
        [[0, 0, 900, 900] * 300],  # goes to and fro
        {"size": [SIZE, SIZE]},
        {"counts": [SIZE * SIZE]},
        run(None),
        run(7),
        run([SIZE * SIZE - 1]),
        run([SIZE * SIZE + 1]),
        run([]),
        run([2, -1, SIZE * SIZE - 1]),
        run([1.0, 63.0]),
        run([0, 1 << 62]),
        run([SIZE * SIZE], (SIZE, 2 * SIZE)),
        run([10**18], (10**9, 10**9)),
        run("o"),  # more is to follow
        run("0" * 65),
        run("oooooooooooo0"),
        run("\u00e9\ud800"),
        run(compressed(SMALL)["counts"][:-1]),
        run(compressed(SMALL)["counts"] + "1"),
    ],
)
def test_broken_segmentations_are_named(data_set, broken):
    """pycocotools ends the process for some of these, takes all memory for others, or raises what
    nobody expects; it must see none of them."""
    for annotations in ([{"segmentation": broken}], [{"segmentation": polygon(0, 0, 2)}] * 2):
        truth = data_set(*annotations, {"segmentation": broken})
        with pytest.raises(MaskError, match=r"x/a in .*truth\.json has a segmentation"):
            truth.read("x/a.jpg", SIZE, SIZE)


def test_sizes_are_checked_before_they_take_memory(data_set, tmp_path):
    truth = data_set({"segmentation": compressed(SMALL)})
    with pytest.raises(MaskError, match=r"is 8x8, its image x/a\.jpg is 9x8"):
        truth.read("x/a.jpg", 9, SIZE)

    for size, message in (
        ([10**9, 10**9], "has 1000000000000000000 pixels, more than"),
        ([0, 8], r"has the size \[0, 8\]"),
        (["8", 8], "which is none"),
        ([8.5, 8], "which is none"),
    ):
        (tmp_path / "found.json").write_text(
            json.dumps([{"image_id": "a", "segmentation": run([1], size)}])
        )
        truth = CocoMasks(str(tmp_path / "found.json"), MAX_PIXELS)
        with pytest.raises(MaskError, match=message):
            truth.read("a.jpg", SIZE, SIZE)


def test_detections_at_another_size_than_their_image(tmp_path):
    """A detector that works on reduced images writes run lengths of that size."""
    (tmp_path / "found.json").write_text(
        json.dumps([{"image_id": "a", "segmentation": run([0, 2, 6], (4, 2))}])
    )
    truth = CocoMasks(str(tmp_path / "found.json"), MAX_PIXELS)
    np.testing.assert_array_equal(truth.read("a.jpg", 4, 8), [[1, 0]] * 2 + [[0, 0]] * 2)


@pytest.mark.parametrize("nothing", [[], None, [[]], {}, "", ...])
def test_annotations_without_a_mask_are_passed_over(data_set, nothing):
    """Boxes alone, as in many files that only partly have masks."""
    box = {"bbox": [1, 1, 5, 5]} | ({} if nothing is ... else {"segmentation": nothing})
    truth = data_set({"segmentation": compressed(SMALL)}, box, {**box, "image_id": 8})
    np.testing.assert_array_equal(truth.read("x/a.jpg", SIZE, SIZE), SMALL)
    assert truth.num_without_mask == 2
    assert truth.num_images == 1
    assert data_set(box).num_images == 0


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_as_pycocotools_writes_them(seed):
    """Of noise and of large areas, where numbers have one to four characters, and either sign."""
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(1, 300, 2))
    mask = rng.random((height, width)) < rng.choice([0, 0.001, 0.5, 0.999, 1])
    found = draw(compressed(mask), height, width)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.filterwarnings("ignore:__array__")  # of pycocotools about its own use of numpy
def test_polygons_as_pycocotools_draws_them():
    """Beyond the edges too, as annotators draw them."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        polygons = [rng.uniform(-20, 60, 2 * int(n)).tolist() for n in rng.integers(3, 9, 2)]
        whole = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 40, 50)))
        np.testing.assert_array_equal(draw(polygons, 40, 50), whole)


def test_missing_file(tmp_path):
    with pytest.raises(MaskError, match=r"there is no .*no\.json"):
        CocoMasks(str(tmp_path / "no.json"), MAX_PIXELS)
