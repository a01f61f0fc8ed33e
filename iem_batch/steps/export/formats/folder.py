"""Pairs as files: SPLIT/images/KEY.jpg, SPLIT/masks/KEY.png, and a list, SPLIT/metadata.csv."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.files import csv_lines, parts
from iem_batch.steps.export.formats.pair import Pair, Place

PARTS = "_run/metadata"
"""Where the lists wait until all files of a corpus are written."""


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as an image and a mask file each, with equal names up to the extension.

    Returns:
        Name of each file -> its bytes.
    """
    images = {f"{place.split}/images/{pair.file_name}": pair.image for pair in pairs}
    masks = {f"{place.split}/masks/{pair.key}.png": pair.label_png for pair in pairs}
    rows = [
        [f"images/{pair.file_name}", f"masks/{pair.key}.png", *pair.about.values()]
        for pair in pairs
    ]
    head = ["file_name", "mask_file_name", *place.about]
    return {**images, **masks, f"{PARTS}/{place.stem}.csv": csv_lines([head, *rows])}


def complete(target: RunFolder, splits: Iterable[str]) -> dict[str, str]:
    """Put the lists of each split together, under 1 KB for a pair, as `imagefolder` reads them.

    Returns:
        Name of each file -> its SHA-256.
    """
    written = {}
    for split in splits:
        head, *rows = [part.partition(b"\n") for part in parts(target, PARTS, split)]
        lines = b"".join([*head, *(lines for _, _, lines in rows)])
        name = f"{split}/metadata.csv"
        written[name] = target.write_bytes(name, lines)
    return written
