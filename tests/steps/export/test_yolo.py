"""YOLO's segmentation: read by supervision, and as ultralytics documents that it reads.

ultralytics cannot be imported without torchvision, so `checked` and `as_it_trains` do what its
`verify_image_label` and `polygon2mask` are documented to do.
"""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import supervision
import yaml
from numpy.typing import NDArray
from PIL import Image

from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.yolo import complete
from tests.steps.export.exports import SIZES, Truth, export, require_equal, rgb, truth, with_unseen

Points = NDArray[np.float32]


def label_file(image: Path) -> Path:
    """Find the label as ultralytics does: the last folder images becomes labels."""
    head, _, tail = str(image).rpartition("/images/")
    return Path(f"{head}/labels/{tail}").with_suffix(".txt")


def checked(file: Path) -> list[Points]:
    """Read polygons; a line is a class and three points in 0..1 or more, no line is there twice."""
    lines = [line.split() for line in file.read_text().splitlines()]
    assert all(len(line) > 6 and line[0] == "0" for line in lines)
    polygons = [np.array(line[1:], dtype=np.float32).reshape(-1, 2) for line in lines]
    assert all(polygon.min() >= 0 and polygon.max() <= 1 for polygon in polygons)
    assert len({polygon.tobytes() for polygon in polygons}) == len(polygons)
    return polygons


def as_it_trains(polygons: list[Points], width: int, height: int) -> NDArray[np.bool_]:
    """Fill polygons as ultralytics does, whose points are cut off to whole pixels."""
    mask = np.zeros((height, width), dtype=np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [(polygon * np.float32([width, height])).astype(np.int32)], 1)
    return mask.astype(bool)


@pytest.mark.parametrize("size", SIZES)
def test_ultralytics(awkward: RunFolder, tmp_path: Path, size: str) -> None:
    target = export(awkward, format="yolo", to=str(tmp_path), size=size, pairs_per_file=5)
    ids = index(target)
    found = {}
    for image in Path(target.url, "images/train").iterdir():
        with Image.open(image) as opened:
            mask = as_it_trains(checked(label_file(image)), *opened.size)
        label = with_unseen(target, image.stem, mask)
        found[ids[image.name]] = Truth(rgb(image.read_bytes()), label)
    require_equal(found, truth(awkward, size))


def test_supervision(awkward: RunFolder, tmp_path: Path) -> None:
    """It rounds points to whole pixels, and looks into no folder of the images."""
    target = export(awkward, format="yolo", to=str(tmp_path), size="original")
    dataset = supervision.DetectionDataset.from_yolo(
        *(target.url_of(name) for name in ("images/train", "labels/train", "data.yaml"))
    )
    assert dataset.classes == ["foreground"]
    ids, expected = index(target), truth(awkward, "original")
    assert len(dataset) == len(expected)
    for path, _, detections in dataset:
        mask = detections.mask.any(axis=0)
        np.testing.assert_array_equal(mask, expected[ids[Path(path).name]].label == 1)


def test_a_split_that_is_not_there_is_the_other(awkward: RunFolder, tmp_path: Path) -> None:
    """ultralytics refuses a file without train and val, and folders that are not there."""
    for share, val in ((0.0, "images/train"), (0.5, "images/val")):
        target = export(awkward, format="yolo", to=str(tmp_path / str(share)), val_share=share)
        data = yaml.safe_load(target.read_bytes("data.yaml"))
        assert data == {"train": "images/train", "val": val, "names": {0: "foreground"}}
        assert all(Path(target.url, data[split]).is_dir() for split in ("train", "val"))


def test_of_no_pairs(tmp_path: Path) -> None:
    assert complete(RunFolder(str(tmp_path)), []).keys() == {"data.yaml"}


def index(target: RunFolder) -> dict[str, str]:
    """Read which image a file is of."""
    texts = [target.read_bytes(f"index/{name}").decode() for name in target.names("index")]
    rows = [row for text in texts for row in csv.DictReader(io.StringIO(text))]
    return {row["file_name"]: row["image_id"] for row in rows}
