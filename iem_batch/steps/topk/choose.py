"""Choose among the masks that different first masks gave, without labels.

masks/ has one row for each image and first mask, the rows of an image one after another. The
paper keeps one first mask for the whole collection: the square whose masks have the highest mean
inpainting error (Section 4.1).
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.errors import StepMissingError
from iem_batch.steps.topk.settings import InitChoice


def dataset_side(marks: Iterable[dict[str, Any]]) -> int:
    """Choose the first mask of a whole run.

    Args:
        marks: the commit marks of masks/, in any order; each has the number of masks and the sum
            of their errors by side, `{"sides": {"78": {"count": 512, "sum_error": 300.5}}}`.

    Returns:
        The side in pixels with the highest mean error; of equal ones the smallest.

    Raises:
        StepMissingError: there is no mask to choose from.
    """
    sums: dict[int, list[float]] = {}
    counts: dict[int, int] = {}
    for mark in marks:
        for key, side in mark["sides"].items():
            sums.setdefault(int(key), []).append(side["sum_error"])
            counts[int(key)] = counts.get(int(key), 0) + side["count"]
    # fsum rounds once, so the order in which shards were listed cannot change the choice.
    means = {side: math.fsum(sums[side]) / count for side, count in counts.items() if count}
    if not means:
        raise StepMissingError(
            "no image of the run has a mask yet; run `iem-batch segment` first, or see quarantine/ "
            "for why every image was rejected"
        )
    return min(means, key=lambda side: (-means[side], side))


def chosen_rows(table: pa.Table, choice: InitChoice, side: int) -> pa.Table:
    """Keep one row for each image.

    Args:
        table: rows of masks/ with at least image_id, init_side and error.
        choice: `dataset` keeps the rows of `side`; `image` keeps for each
            image the row of highest error, of equal ones that of the smallest side.
        side: what `dataset_side` gave; not looked at for `image`.

    Returns:
        The kept rows, images in the order of the table.
    """
    if choice == "dataset":
        return table.filter(pc.equal(table["init_side"], side))
    image_codes = table["image_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    # lexsort sorts by its last key first: image, then highest error, then smallest side.
    order = np.lexsort((table["init_side"].to_numpy(), -table["error"].to_numpy(), image_codes))
    first_of_image = np.flatnonzero(np.diff(image_codes[order], prepend=-1))
    return table.take(order[first_of_image])
