"""Every format of a corpus, opened by the program it is made for: the same pixels and masks."""

import csv
import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image
from pycocotools.coco import COCO

from iem_batch.run.folder import RunFolder
from tests.steps.export.exports import LONG, NAMES, Truth, export, make_run, rgb, truth

SIZES = ["engine", "original"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("awkward"))


def require_equal(found: dict[str, Truth], expected: dict[str, Truth]) -> None:
    assert found.keys() == expected.keys() == NAMES.keys()
    for image_id, pair in expected.items():
        np.testing.assert_array_equal(found[image_id].image, pair.image, image_id)
        np.testing.assert_array_equal(found[image_id].label, pair.label, image_id)


def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


@pytest.mark.parametrize("size", SIZES)
def test_hugging_face(run: RunFolder, tmp_path: Path, size: str) -> None:
    target = export(run, to=str(tmp_path / "corpus"), size=size, pairs_per_file=5)
    rows = datasets.load_dataset(target.url, split="train", cache_dir=cache(tmp_path))
    found = {}
    for row in rows:
        label = np.asarray(row["mask"])
        found[row["image_id"]] = Truth(rgb(row["image"]), label.astype(np.uint8))
    require_equal(found, truth(run, size))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", SIZES)
def test_webdataset(run: RunFolder, tmp_path: Path, size: str) -> None:
    """WebDataset cuts a key at its first dot, so a dot too many mixes two images up."""
    target = export(run, format="webdataset", to=str(tmp_path), size=size, pairs_per_file=5)
    urls = [target.url_of(name) for name in target.names("") if name.endswith(".tar")]
    found = {}
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
        image = sample.get("jpg") or sample["png"]
        label = np.asarray(sample["mask.png"].convert("L"))
        found[sample["json"]["image_id"]] = Truth(rgb(image), label)
    require_equal(found, truth(run, size))


# pycocotools has not followed numpy 2, and webdataset leaves its files to the garbage collector.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("size", SIZES)
def test_pycocotools(
    run: RunFolder, tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = export(run, format="coco", to=str(tmp_path), size=size, pairs_per_file=5)
    coco = COCO(target.url_of("annotations/instances_train.json"))
    capsys.readouterr()
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        label = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(annotation).astype(bool)
            assert annotation["area"] == mask.sum()
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert annotation["bbox"] == box
            label[mask] = 255 if annotation["iscrowd"] else 1
        file = target.url_of(f"images/train/{image['file_name']}")
        found[image["iem_image_id"]] = Truth(rgb(Path(file).read_bytes()), label)
    require_equal(found, truth(run, size))
    ids = [annotation["id"] for annotation in coco.dataset["annotations"]]
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0


def test_coco_has_the_fields_of_detectron2(run: RunFolder, tmp_path: Path) -> None:
    """detectron2's loader takes these fields, and ids that are whole numbers."""
    target = export(run, format="coco", to=str(tmp_path), size="original", pairs_per_file=5)
    record = target.read_json("annotations/instances_train.json")
    assert record["categories"] == [{"id": 1, "name": "foreground", "supercategory": "foreground"}]
    for image in record["images"]:
        assert {"id", "file_name", "height", "width"} <= image.keys()
        assert isinstance(image["id"], int)
    for annotation in record["annotations"]:
        assert {"id", "image_id", "bbox", "iscrowd", "category_id"} <= annotation.keys()
        run_lengths = annotation["segmentation"]
        assert isinstance(run_lengths["counts"], str)
        assert all(isinstance(length, int) for length in run_lengths["size"])


@pytest.mark.parametrize("size", SIZES)
def test_folder(run: RunFolder, tmp_path: Path, size: str) -> None:
    """As torchvision, MMSegmentation and FiftyOne pair them: by the name without extension."""
    target = export(run, format="folder", to=str(tmp_path), size=size, pairs_per_file=5)
    images = {path.stem: path for path in Path(target.url, "images/train").iterdir()}
    masks = {path.stem: path for path in Path(target.url, "masks/train").iterdir()}
    assert images.keys() == masks.keys()
    ids = {}
    for name in target.names("index"):
        for row in csv.DictReader(io.StringIO(target.read_bytes(f"index/{name}").decode())):
            assert Path(row["image"]).stem == Path(row["mask"]).stem
            ids[Path(row["image"]).stem] = row["image_id"]
    found = {}
    for stem, path in images.items():
        with Image.open(masks[stem]) as mask:
            assert mask.mode == "L"
            found[ids[stem]] = Truth(rgb(path.read_bytes()), np.asarray(mask))
    require_equal(found, truth(run, size))


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_bytes_are_passed_on(run: RunFolder, tmp_path: Path, kind: str) -> None:
    """Catches a JPEG that is decoded and encoded again, and so is worse than the original."""
    target = export(run, format=kind, to=str(tmp_path), size="original")
    source = Path(run.url).parent / "images"
    own = {(source / name).read_bytes(): name for name in NAMES}
    if kind == "parquet":
        rows = target.read_table("train-00000.parquet").to_pylist()
        written = [row["image"]["bytes"] for row in rows]
    else:
        written = [path.read_bytes() for path in Path(target.url, "images/train").iterdir()]
    passed_on = {own[data] for data in written if data in own}
    assert NAMES.keys() - passed_on == {"turned.jpg", "see through.png", "old.bmp"}


def test_two_long_names_stay_two(run: RunFolder, tmp_path: Path) -> None:
    target = export(run, format="folder", to=str(tmp_path))
    names = [path.name for path in Path(target.url, "images/train").iterdir()]
    assert len(names) == len(NAMES)
    assert sum(name.startswith("x" * 50) for name in names) == 2
    assert len(LONG) == 300
    assert max(len(name) for name in names) <= 100


def test_val_share_moves_no_image_when_it_grows(run: RunFolder, tmp_path: Path) -> None:
    """The hash decides, so an image set apart for validation is never trained on later."""
    before: set[str] = set()
    for share in (0.2, 0.4, 0.6):
        target = export(run, format="coco", to=str(tmp_path / str(share)), val_share=share)
        ids = {}
        for split in ("train", "val"):
            record = json.loads(target.read_bytes(f"annotations/instances_{split}.json"))
            ids[split] = {image["iem_image_id"] for image in record["images"]}
        assert ids["train"] | ids["val"] == NAMES.keys()
        assert not ids["train"] & ids["val"]
        assert before <= ids["val"]
        before = ids["val"]


def test_hugging_face_has_both_splits(run: RunFolder, tmp_path: Path) -> None:
    target = export(run, to=str(tmp_path / "corpus"), val_share=0.5)
    rows = datasets.load_dataset(target.url, cache_dir=cache(tmp_path))
    assert set(rows) == {"train", "validation"}
    assert len(rows["train"]) + len(rows["validation"]) == len(NAMES)


@pytest.mark.parametrize("kind", ["parquet", "webdataset", "coco", "folder"])
def test_the_same_bytes_twice(run: RunFolder, tmp_path: Path, kind: str) -> None:
    """Catches a time or an order in a file, by which two racing workers would differ."""
    trees = []
    for name in ("one", "two"):
        target = export(run, format=kind, to=str(tmp_path / name), pairs_per_file=3)
        files = (path for path in Path(target.url).rglob("*") if path.is_file())
        trees.append(
            {
                str(path.relative_to(target.url)): path.read_bytes()
                for path in files
                if "_run/stats" not in str(path) and "_run/done" not in str(path)
            }
        )
    assert trees[0] == trees[1]
