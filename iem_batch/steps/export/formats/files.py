"""Files that several formats of a corpus have."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from iem_batch.images.geometry import VOID
from iem_batch.images.png import encode_mask
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.pair import Pair, Place


def image_files(pairs: Sequence[Pair], place: Place) -> dict[str, bytes]:
    """Lay out the images of a corpus of objects, and what the method did not see of them.

    Returns:
        Name of each file -> its bytes: images/SPLIT/KEY.EXTENSION, and for images that were not
        seen whole ignore/SPLIT/KEY.png, of 1 bit, where white was not seen.
    """
    images = {f"images/{place.split}/{pair.file_name}": pair.image for pair in pairs}
    unseen = {pair.key: pair.label_HW == VOID for pair in pairs} if place.has_margins else {}
    return images | {
        f"ignore/{place.split}/{key}.png": encode_mask(mask_HW)
        for key, mask_HW in unseen.items()
        if mask_HW.any()
    }


def csv_lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Write rows of a CSV file; lists and objects in them as JSON."""
    text = io.StringIO()
    plain = ([json.dumps(v) if isinstance(v, (list, dict)) else v for v in row] for row in rows)
    csv.writer(text, lineterminator="\n").writerows(plain)
    return text.getvalue().encode()


def parts(target: RunFolder, folder: str, split: str) -> Iterator[bytes]:
    """Read what the files of a split have left in a folder, in order."""
    for name in target.names(folder):
        if re.fullmatch(rf"{split}-\d{{5,}}\.\w+", name):
            yield target.read_bytes(f"{folder}/{name}")
