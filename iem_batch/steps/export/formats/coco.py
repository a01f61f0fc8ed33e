"""Pairs as images and COCO annotations with run-length encoded masks."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.images.geometry import FOREGROUND
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.files import image_files, parts
from iem_batch.steps.export.formats.pair import Pair, Place

PARTS = "_run/annotations"
"""Where the annotations wait until all files of a corpus are written."""

CATEGORIES = [{"id": 1, "name": "foreground", "supercategory": "foreground"}]


def run_lengths(mask_HW: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask as COCO's compressed run lengths.

    Raises:
        BackendUnavailableError: pycocotools is not installed.
    """
    with needs_extra("coco", "export.format coco"):
        from pycocotools import mask as coco_mask
    encoded = coco_mask.encode(np.asfortranarray(mask_HW.view(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def lay_out(
    pairs: Sequence[Pair],
    place: Place,
    segmentation: Callable[[NDArray[np.bool_]], Any] = run_lengths,
) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as image files, and as their part of the annotations, one for each image.

    Args:
        pairs: what is laid out.
        place: where.
        segmentation: from a mask to what COCO calls so.

    Returns:
        Name of each file -> its bytes.
    """
    part: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for pair in pairs:
        height, width = pair.label_HW.shape
        # Numbers start at 1: pycocotools takes annotation 0 for no match.
        number = pair.number + 1
        image = {"id": number, "file_name": pair.file_name, "width": width, "height": height}
        # COCO has names of its own, and annotations have the number of the image as image_id.
        taken = {"image_id", *image}
        about = {f"iem_{key}" if key in taken else key: v for key, v in pair.about.items()}
        part["images"].append(image | about)
        mask_HW = pair.label_HW == FOREGROUND
        if mask_HW.any():
            annotation = {
                "id": number,
                "image_id": number,
                "iscrowd": 0,
                "category_id": 1,
                "segmentation": segmentation(mask_HW),
                "area": int(mask_HW.sum()),
                "bbox": [float(value) for value in cv2.boundingRect(mask_HW.view(np.uint8))],
            }
            part["annotations"].append(annotation)
    return {**image_files(pairs, place), f"{PARTS}/{place.stem}.json": json.dumps(part).encode()}


def complete(target: RunFolder, splits: Iterable[str]) -> dict[str, str]:
    """Put the parts of each split together into annotations/instances_SPLIT.json.

    All annotations of a split are in memory at once, some KB for a pair, as they are in every
    program that reads them.

    Returns:
        Name of each file -> its SHA-256.
    """
    written = {}
    for split in splits:
        whole: dict[str, Any] = {
            "info": {"description": "Masks made by iem_batch; README.md says how"},
            "licenses": [],
            "categories": CATEGORIES,
            "images": [],
            "annotations": [],
        }
        for data in parts(target, PARTS, split):
            part = json.loads(data)
            whole["images"] += part["images"]
            whole["annotations"] += part["annotations"]
        name = f"annotations/instances_{split}.json"
        written[name] = target.write_bytes(name, json.dumps(whole).encode())
    return written
