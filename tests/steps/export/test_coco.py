"""COCO by run lengths and by polygons, read by pycocotools and supervision."""

from pathlib import Path

import numpy as np
import pytest
import supervision
from pycocotools.coco import COCO

from iem_batch.run.folder import RunFolder
from tests.steps.export.exports import (
    SIZES,
    Truth,
    export,
    require_equal,
    rgb,
    truth,
    with_unseen,
)

FORMATS = ["coco", "coco_polygons"]


# pycocotools has not followed numpy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_pycocotools(
    awkward: RunFolder, tmp_path: Path, kind: str, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = export(awkward, format=kind, to=str(tmp_path), size=size, pairs_per_file=5)
    coco = COCO(target.url_of("annotations/instances_train.json"))
    capsys.readouterr()
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        (annotation,) = coco.loadAnns(coco.getAnnIds(image["id"]))
        mask = coco.annToMask(annotation).astype(bool)
        assert mask.shape == (image["height"], image["width"])
        assert (annotation["area"], annotation["iscrowd"]) == (mask.sum(), 0)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
        assert annotation["bbox"] == box
        label = with_unseen(target, image["file_name"].rpartition(".")[0], mask)
        file = target.url_of(f"images/train/{image['file_name']}")
        found[image["iem_image_id"]] = Truth(rgb(Path(file).read_bytes()), label)
    require_equal(found, truth(awkward, size))
    ids = [annotation["id"] for annotation in coco.dataset["annotations"]]
    assert len(set(ids)) == len(ids)
    assert min(ids) > 0


def test_supervision_finds_one_object_an_image(awkward: RunFolder, tmp_path: Path) -> None:
    """Catches pixels that were not seen as an object: it knows no crowds."""
    target = export(awkward, format="coco", to=str(tmp_path), size="original")
    annotations = "annotations/instances_train.json"
    found = supervision.DetectionDataset.from_coco(
        target.url_of("images/train"), target.url_of(annotations)
    )
    ids = {
        str(Path(target.url_of(f"images/train/{image['file_name']}")).resolve()): image
        for image in target.read_json(annotations)["images"]
    }
    expected = truth(awkward, "original")
    assert len(found) == len(expected) == len(ids)
    for path, _, detections in found:
        (mask,) = detections.mask
        label = expected[ids[path]["iem_image_id"]].label
        np.testing.assert_array_equal(mask, label == 1)
    assert any(255 in pair.label for pair in expected.values())


def test_coco_has_the_fields_of_detectron2(awkward: RunFolder, tmp_path: Path) -> None:
    """detectron2's loader takes these fields, and ids that are whole numbers."""
    target = export(awkward, format="coco", to=str(tmp_path), size="original", pairs_per_file=5)
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
