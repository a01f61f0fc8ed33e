"""Pairs as images and COCO annotations with run-length encoded masks.

Margins that are to be ignored become a second annotation of the image with ``iscrowd`` 1: this is
what the COCO tools leave out of training and evaluation.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.folder import image_files
from iem_batch.steps.export.formats.pair import FOREGROUND, IGNORE, Pair, Place

PARTS = "_run/annotations"
"""Where the annotations wait until all files of a corpus are written."""

CATEGORIES = [{"id": 1, "name": "foreground", "supercategory": "foreground"}]


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as image files, and as their part of the annotations.

    Returns:
        Name of each file -> its bytes.

    Raises:
        BackendUnavailableError: pycocotools is not installed.
    """
    part: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    images = image_files(pairs, place)
    for pair, name in zip(pairs, images, strict=True):
        height, width = pair.label_HW.shape
        # Numbers start at 1: pycocotools takes annotation 0 for no match.
        number = pair.number + 1
        part["images"].append(
            {
                "id": number,
                "file_name": name.rpartition("/")[2],
                "width": width,
                "height": height,
                "iem_image_id": pair.image_id,
                "uri": pair.uri,
                "error": pair.error,
                "rank": pair.rank,
            }
        )
        for crowd, value in enumerate((FOREGROUND, IGNORE)):
            mask_HW = pair.label_HW == value
            if mask_HW.any():
                annotation = {"id": 2 * number - 1 + crowd, "image_id": number, "iscrowd": crowd}
                part["annotations"].append(annotation | {"category_id": 1} | _region(mask_HW))
    return {**images, f"{PARTS}/{place.stem}.json": json.dumps(part).encode()}


def complete(target: RunFolder, splits: Iterable[str]) -> dict[str, str]:
    """Put the parts of each split together into annotations/instances_SPLIT.json.

    All annotations of a split are in memory at once, under 1 KB for a pair, as they are in every
    program that reads them.

    Returns:
        Name of each file -> its SHA-256.
    """
    written = {}
    for split in splits:
        whole: dict[str, Any] = {
            "info": {"description": "Masks by Inpainting Error Maximization, made by iem_batch"},
            "licenses": [],
            "categories": CATEGORIES,
            "images": [],
            "annotations": [],
        }
        for name in target.names(PARTS):
            if re.fullmatch(rf"{split}-\d{{5,}}\.json", name):
                part = target.read_json(f"{PARTS}/{name}")
                whole["images"] += part["images"]
                whole["annotations"] += part["annotations"]
        name = f"annotations/instances_{split}.json"
        written[name] = target.write_bytes(name, json.dumps(whole).encode())
    return written


def _region(mask_HW: NDArray[np.bool_]) -> dict[str, Any]:
    with needs_extra("coco", "export.format coco"):
        from pycocotools import mask as coco_mask
    encoded = coco_mask.encode(np.asfortranarray(mask_HW.view(np.uint8)))
    return {
        "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode()},
        "area": int(coco_mask.area(encoded)),
        "bbox": [float(value) for value in coco_mask.toBbox(encoded)],
    }
