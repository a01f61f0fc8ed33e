"""Pairs for YOLO's segmentation: images/SPLIT/KEY.jpg, labels/SPLIT/KEY.txt and data.yaml.

A line of a label is the polygon of one connected part. Its points lie a quarter into the pixels at
the edge, so that they name the same pixels cut off as ultralytics does, and rounded as others do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from iem_batch.images.geometry import FOREGROUND
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.files import csv_lines, image_files
from iem_batch.steps.export.formats.pair import Pair, Place
from iem_batch.steps.export.formats.polygons import outlines

_INTO_PIXEL = 0.25

_FEWEST_POINTS = 3
"""Of a line; shorter ones are taken for boxes."""

_DATA = """# ultralytics: yolo segment train data=THIS FILE model=...
train: images/{train}
val: images/{val}{comment}
names:
  0: foreground
"""


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as an image and a text each; index/ says which image is which.

    Returns:
        Name of each file -> its bytes.
    """
    # Not all readers look into folders of the images.
    pairs = [replace(pair, unfit="/") for pair in pairs]
    labels = {f"labels/{place.split}/{pair.key}.txt": _label(pair) for pair in pairs}
    rows = [[pair.file_name, *pair.about.values()] for pair in pairs]
    index = csv_lines([["file_name", *place.about], *rows])
    return {**image_files(pairs, place), **labels, f"index/{place.stem}.csv": index}


def complete(target: RunFolder, splits: Iterable[str]) -> dict[str, str]:
    """Write data.yaml, in which both splits have to be named.

    Returns:
        Name of each file -> its SHA-256.
    """
    train, *val = [*splits] or ["train"]
    comment = "" if val else "  # none was held back (export.val_share)"
    text = _DATA.format(train=train, val=val[0] if val else train, comment=comment)
    return {"data.yaml": target.write_bytes("data.yaml", text.encode())}


def _label(pair: Pair) -> bytes:
    height, width = pair.label_HW.shape
    lines = []
    for outline in outlines(pair.label_HW == FOREGROUND):
        points = np.pad(outline, ((0, max(0, _FEWEST_POINTS - len(outline))), (0, 0)), mode="edge")
        share = (points + _INTO_PIXEL) / (width, height)
        lines.append(f"0 {' '.join(f'{value:.6f}' for value in share.ravel())}\n")
    return "".join(lines).encode()
