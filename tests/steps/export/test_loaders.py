"""Every format of a corpus, opened by the program it is made for: the same pixels and masks."""

import csv
import gc
import io
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import webdataset
from PIL import Image

from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats import FORMATS
from tests.steps.export.exports import (
    LONG,
    NAMES,
    SIZES,
    Truth,
    export,
    files_by_stem,
    require_equal,
    rgb,
    truth,
)


def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


@pytest.mark.parametrize("size", SIZES)
def test_hugging_face(awkward: RunFolder, tmp_path: Path, size: str) -> None:
    target = export(awkward, to=str(tmp_path / "corpus"), size=size, pairs_per_file=5)
    rows = datasets.load_dataset(target.url, split="train", cache_dir=cache(tmp_path))
    found = {}
    for row in rows:
        label = np.asarray(row["mask"])
        found[row["image_id"]] = Truth(rgb(row["image"]), label.astype(np.uint8))
    require_equal(found, truth(awkward, size))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("size", SIZES)
def test_webdataset(awkward: RunFolder, tmp_path: Path, size: str) -> None:
    """WebDataset cuts a key at its first dot, so a dot too many mixes two images up."""
    target = export(awkward, format="webdataset", to=str(tmp_path), size=size, pairs_per_file=5)
    urls = [target.url_of(name) for name in target.names("") if name.endswith(".tar")]
    found = {}
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil"):
        image = sample.get("jpg") or sample["png"]
        label = np.asarray(sample["mask.png"].convert("L"))
        found[sample["json"]["image_id"]] = Truth(rgb(image), label)
    require_equal(found, truth(awkward, size))


@pytest.mark.parametrize("size", SIZES)
def test_folder(awkward: RunFolder, tmp_path: Path, size: str) -> None:
    """As MMSegmentation and FiftyOne pair them: by the path without extension."""
    target = export(awkward, format="folder", to=str(tmp_path), size=size, pairs_per_file=5)
    images = files_by_stem(target, "train/images")
    masks = files_by_stem(target, "train/masks")
    assert images.keys() == masks.keys()
    metadata = io.StringIO(target.read_bytes("train/metadata.csv").decode())
    ids = {
        row["file_name"].removeprefix("images/").rpartition(".")[0]: row["image_id"]
        for row in csv.DictReader(metadata)
    }
    found = {}
    for stem, path in images.items():
        with Image.open(masks[stem]) as mask:
            assert mask.mode == "L"
            found[ids[stem]] = Truth(rgb(path.read_bytes()), np.asarray(mask))
    require_equal(found, truth(awkward, size))


# datasets leaves files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_image_folder_of_hugging_face(awkward: RunFolder, tmp_path: Path) -> None:
    """It pairs images with masks, by itself and with the card; no mask is an image of its own."""
    target = export(awkward, format="folder", to=str(tmp_path / "corpus"), val_share=0.5)
    for given in ({"path": target.url}, {"path": "imagefolder", "data_dir": target.url}):
        splits = datasets.load_dataset(**given, cache_dir=cache(tmp_path))
        assert set(splits) == {"train", "validation"}
        found = {
            row["image_id"]: Truth(rgb(row["image"]), np.asarray(row["mask"]))
            for rows in splits.values()
            for row in rows
        }
        require_equal(found, truth(awkward, "engine"))
    gc.collect()  # here, where the warning of it is known


def test_names_are_as_natural_as_may_be(awkward: RunFolder, tmp_path: Path) -> None:
    target = export(awkward, format="folder", to=str(tmp_path), size="original")
    root = Path(target.url, "train/images")
    names = {path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file()}
    assert names >= {
        *("turned.png", "see through.png", "web.webp", "old.png"),
        *("plain.jpg.jpg", "plain.png.png"),  # both would be plain
        *("a.b/c.d e.jpg", "a.b/c.d%2520e.jpg", "a/b.c/d e.jpg", "ünï/ço%7Edé 日本.png"),
    }


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_bytes_are_passed_on(awkward: RunFolder, tmp_path: Path, kind: str) -> None:
    """Catches a JPEG that is decoded and encoded again, and so is worse than the original."""
    target = export(awkward, format=kind, to=str(tmp_path), size="original")
    source = Path(awkward.url).parent / "images"
    own = {(source / name).read_bytes(): name for name in NAMES}
    if kind == "parquet":
        rows = target.read_table("train-00000.parquet").to_pylist()
        written = [row["image"]["bytes"] for row in rows]
    else:
        written = [path.read_bytes() for path in files_by_stem(target, "train/images").values()]
    passed_on = {own[data] for data in written if data in own}
    assert NAMES.keys() - passed_on == {"turned.jpg", "see through.png", "old.bmp"}


def test_two_long_names_stay_two(awkward: RunFolder, tmp_path: Path) -> None:
    target = export(awkward, format="folder", to=str(tmp_path))
    stems = files_by_stem(target, "train/images")
    assert len(stems) == len(NAMES)
    assert sum(stem.startswith("x" * 50) for stem in stems) == 2
    assert len(LONG) == 300
    assert max(len(stem.encode()) for stem in stems) <= 200


def test_val_share_moves_no_image_when_it_grows(awkward: RunFolder, tmp_path: Path) -> None:
    """The hash decides, so an image set apart for validation is never trained on later."""
    before: set[str] = set()
    for share in (0.2, 0.4, 0.6):
        target = export(awkward, format="coco", to=str(tmp_path / str(share)), val_share=share)
        ids = {}
        for split in ("train", "val"):
            record = json.loads(target.read_bytes(f"annotations/instances_{split}.json"))
            ids[split] = {image["iem_image_id"] for image in record["images"]}
        assert ids["train"] | ids["val"] == NAMES.keys()
        assert not ids["train"] & ids["val"]
        assert before <= ids["val"]
        before = ids["val"]


def test_hugging_face_has_both_splits(awkward: RunFolder, tmp_path: Path) -> None:
    target = export(awkward, to=str(tmp_path / "corpus"), val_share=0.5)
    rows = datasets.load_dataset(target.url, cache_dir=cache(tmp_path))
    assert set(rows) == {"train", "validation"}
    assert len(rows["train"]) + len(rows["validation"]) == len(NAMES)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_bytes_twice(awkward: RunFolder, tmp_path: Path, kind: str) -> None:
    """Catches a time or an order in a file, by which two racing workers would differ."""
    trees = []
    for name in ("one", "two"):
        target = export(awkward, format=kind, to=str(tmp_path / name), pairs_per_file=3)
        files = (path for path in Path(target.url).rglob("*") if path.is_file())
        trees.append(
            {
                str(path.relative_to(target.url)): path.read_bytes()
                for path in files
                if "_run/stats" not in str(path) and "_run/done" not in str(path)
            }
        )
    assert trees[0] == trees[1]
