"""Pairs as files: images/SPLIT/KEY.jpg, masks/SPLIT/KEY.png, and a list of them."""

import csv
import io
from collections.abc import Sequence

import pyarrow as pa

from iem_batch.steps.export.formats.pair import Pair, Place


def image_files(pairs: Sequence[Pair], place: Place) -> dict[str, bytes]:
    """Lay out the images alone.

    Returns:
        Name of each file -> its bytes, in the order of the pairs.
    """
    return {f"images/{place.split}/{pair.key}.{pair.extension}": pair.image for pair in pairs}


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as an image and a mask file each, with equal names up to the extension.

    Returns:
        Name of each file -> its bytes; index/ says which image is which.
    """
    images = image_files(pairs, place)
    masks = {f"masks/{place.split}/{pair.key}.png": pair.label_png for pair in pairs}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mask", "image_id", "uri", "error", "rank"])
    for pair, image, mask in zip(pairs, images, masks, strict=True):
        writer.writerow([image, mask, pair.image_id, pair.uri, pair.error, pair.rank])
    return {**images, **masks, f"index/{place.stem}.csv": text.getvalue().encode()}
