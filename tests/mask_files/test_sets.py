"""Small sets laid out as their authors lay out theirs."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from iem_batch.errors import MaskError
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.sets import SOURCES
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.settings import EvaluateSettings
from tests.mask_files.test_folder import SETTINGS
from tests.steps.evaluate.evaluations import evaluate
from tests.steps.hand_made import SIZE, row, square, write_shard

BIRDS = [
    "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
    "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg",
    "200.Common_Yellowthroat/Common_Yellowthroat_0003_190521.jpg",
    "200.Common_Yellowthroat/Common_Yellowthroat_0014_190900.jpg",
]
LEFT = np.zeros((SIZE, SIZE), dtype=np.bool_)
LEFT[:, : SIZE // 2] = True


@pytest.fixture
def cub(tmp_path):
    root = tmp_path / "CUB_200_2011"
    for name in BIRDS:
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (SIZE, SIZE)).save(root / "images" / name)
        # Annotators agree to different degrees: the set's masks are 0, 51, ..., 255.
        grey = np.where(LEFT, 153, 102).astype(np.uint8)
        (root / "segmentations" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save((root / "segmentations" / name).with_suffix(".png"))
    lines = [f"{k} {name}\n" for k, name in enumerate(BIRDS, 1)]
    (root / "images.txt").write_text("".join(lines))
    (root / "train_val_test_split.txt").write_text("1 0\n2 2\n3 1\n4 2\n")
    return root


@pytest.fixture
def flowers(tmp_path):
    """Six images of two halves; segmim paints the right one blue."""
    root = tmp_path / "flowers"
    (root / "jpg").mkdir(parents=True)
    (root / "segmim").mkdir()
    for k in range(1, 7):
        pixels = np.full((SIZE * 2, SIZE * 2, 3), (200, 100, 50), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "jpg" / f"image_{k:05d}.jpg")
        pixels[:, SIZE:] = (0, 0, 254)
        Image.fromarray(pixels).save(root / "segmim" / f"segmim_{k:05d}.jpg", quality=100)
    splits = {"trnid": [[3, 5]], "valid": [[1]], "tstid": [[2, 4, 6]]}
    savemat(root / "setid.mat", {k: np.array(v, dtype=np.uint16) for k, v in splits.items()})
    return root


def opened(root, kind, **options):
    return open_masks(str(root), EvaluateSettings(format=kind, **options), SETTINGS)


def test_cub_has_redos_split(cub):
    """ReDO's numbers are 0 train, 1 val, 2 test; the set's own file has 0 for test."""
    wanted = {"train": [0], "val": [2], "test": [1, 3], "all": [0, 1, 2, 3]}
    for split, expected in wanted.items():
        truth = opened(cub, "cub200", split=split)
        assert [k for k, name in enumerate(BIRDS) if truth.has(name)] == expected
        assert truth.num_images == len(expected)
    mask = opened(cub, "cub200").read(BIRDS[1], SIZE, SIZE)
    np.testing.assert_array_equal(mask, LEFT)


def test_cub_evaluates_its_test_images_alone(cub, tmp_path):
    """Ids as a run of images/ has them."""
    run = RunFolder(str(tmp_path / "run"))
    names = sorted(str(p.relative_to(cub / SOURCES["cub200"])) for p in cub.rglob("*.jpg"))
    write_shard(run, "fuse", 0, [row(name, LEFT) for name in names])
    evaluation = evaluate(run, opened(cub, "cub200"), None, SETTINGS, format="cub200")
    assert (evaluation.num_images, evaluation.num_in_truth) == (2, 2)
    assert evaluation.methods[0].as_labelled["iou"] == 1


@pytest.mark.parametrize(
    ("missing", "source"),
    [
        ("images.txt", "CUB_200_2011.tgz of https://data.caltech.edu"),
        ("segmentations", "segmentations.tgz of https://data.caltech.edu"),
        ("train_val_test_split.txt", "datasplits/cub/.* of https://github.com/mickaelChen/ReDO"),
    ],
)
def test_cub_says_what_is_missing_and_where_to_get_it(cub, missing, source):
    path = cub / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MaskError, match=f"CUB_200_2011 lacks {missing}, which is {source}"):
        opened(cub, "cub200")


def test_cub_in_another_form(cub):
    (cub / "train_val_test_split.txt").write_text("1 0\n2 2\n")
    with pytest.raises(MaskError, match=r"images\.txt has 4 images and train_val_test.* 2"):
        opened(cub, "cub200")
    (cub / "train_val_test_split.txt").write_text("1\n")
    with pytest.raises(MaskError, match="has the line '1', not a number and a word"):
        opened(cub, "cub200")


def test_cub_without_the_mask_of_an_image(cub):
    (cub / "segmentations" / BIRDS[1]).with_suffix(".png").unlink()
    truth = opened(cub, "cub200")
    with pytest.raises(MaskError, match="segmentations has no mask of 001.Black.*segmentations"):
        truth.read(BIRDS[1], SIZE, SIZE)


def test_flowers_trnid_is_the_test_set(flowers):
    wanted = {"test": [3, 5], "val": [1], "train": [2, 4, 6], "all": [1, 2, 3, 4, 5, 6]}
    for split, expected in wanted.items():
        truth = opened(flowers, "flowers102", split=split)
        assert [k for k in range(1, 8) if truth.has(f"image_{k:05d}.jpg")] == expected


def test_flowers_background_is_blue(flowers):
    truth = opened(flowers, "flowers102")
    mask = truth.read("image_00003.jpg", 2 * SIZE, 2 * SIZE)
    # JPEG mixes the two colours where they meet.
    assert mask[:, : SIZE - 2].all()
    assert not mask[:, SIZE + 2 :].any()
    # Each of the three channels alone makes a pixel background, as in ReDO's program.
    colours = [(0, 90, 90), (90, 0, 90), (90, 90, 254), (90, 90, 255), (1, 1, 253), (0, 0, 0)]
    pixels = np.array([colours], dtype=np.uint8)
    path = flowers / "segmim" / "segmim_00003.jpg"
    Image.fromarray(pixels).save(path, "PNG")  # the content decides: exact colours
    mask = truth.read("image_00003.jpg", 6, 1)
    assert mask.tolist() == [[False, False, False, True, True, False]]


@pytest.mark.parametrize("missing", ["setid.mat", "segmim", "jpg"])
def test_flowers_say_what_is_missing_and_where_to_get_it(flowers, missing):
    path = flowers / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MaskError, match=f"flowers lacks {missing}, .*robots.ox.ac.uk"):
        opened(flowers, "flowers102")


def test_flowers_in_another_form(flowers):
    (flowers / "segmim" / "segmim_00005.jpg").unlink()
    with pytest.raises(MaskError, match=r"segmim_00005\.jpg; .*102segmentations\.tgz"):
        opened(flowers, "flowers102").read("image_00005.jpg", SIZE, SIZE)
    savemat(flowers / "setid.mat", {"other": np.arange(3)})
    with pytest.raises(MaskError, match=r"setid\.mat has no trnid"):
        opened(flowers, "flowers102")
    (flowers / "setid.mat").write_bytes(b"text" * 100)
    with pytest.raises(MaskError, match=r"setid\.mat is not a MATLAB file"):
        opened(flowers, "flowers102")


def test_lsun_car_takes_the_biggest_car_above_the_threshold(tmp_path):
    def run_lengths(mask):
        flat = mask.T.ravel().astype(int)  # columns first
        edges = np.flatnonzero(np.diff(flat, prepend=0))
        return np.diff([0, *edges, flat.size]).tolist()

    def found(mask, score, category):
        size = {"size": list(mask.shape), "counts": run_lengths(mask)}
        return {"image_id": 1, "category_id": category, "score": score, "segmentation": size}

    stored = {
        "images": [
            {"id": 1, "file_name": "0a1b.webp", "width": SIZE, "height": SIZE},
            {"id": 2, "file_name": "2c3d.webp", "width": SIZE, "height": SIZE},
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 8, "name": "truck"}],
        "annotations": [
            found(square(0, 0, 7), 0.3, 3),  # a doubtful car
            found(square(0, 0, 2), 0.99, 3),
            found(square(4, 4, 3), 0.8, 3),
            found(square(1, 1, 6), 0.9, 8),  # a truck
        ],
    }
    path = tmp_path / "mask_rcnn.json"
    path.write_text(json.dumps(stored))
    truth = opened(path, "lsun_car", min_score=0.5)
    np.testing.assert_array_equal(truth.read("0a1b.webp", SIZE, SIZE), square(4, 4, 3))
    assert not truth.has("2c3d.webp")
    strict = opened(path, "lsun_car", min_score=0.9)
    np.testing.assert_array_equal(strict.read("0a1b.webp", SIZE, SIZE), square(0, 0, 2))


def test_lsun_car_says_what_is_missing(tmp_path):
    with pytest.raises(MaskError, match="LSUN Car comes without masks: run an instance segmenter"):
        opened(tmp_path / "no.json", "lsun_car")
