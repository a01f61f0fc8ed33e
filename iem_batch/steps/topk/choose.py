"""Choose among the masks that different first masks gave, without labels.

segment/ has one row for each image and first mask, the rows of an image one after another. The
paper keeps one first mask for the whole collection: the square whose masks have the highest mean
inpainting error (Section 4.1).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.errors import StepMissingError
from iem_batch.run.marks import Summary
from iem_batch.steps.topk.settings import InitChoice


def dataset_side(segmented: Summary) -> int:
    """Choose the first mask of a whole run.

    Args:
        segmented: the summary of segment, with the mean error of each first mask.

    Returns:
        The side in pixels with the highest mean error; of equal ones the smallest.

    Raises:
        StepMissingError: there is no mask to choose from.
    """
    sides = {int(name): side for name, side in segmented.facts["sides"].items() if side["count"]}
    if not sides:
        raise StepMissingError(
            "no image of the run has a mask; see quarantine/ for why every image was rejected"
        )
    return min(sides, key=lambda side: (-sides[side]["mean_error"], side))


def chosen_rows(table: pa.Table, choice: InitChoice, side: int) -> pa.Table:
    """Keep one row for each image.

    Args:
        table: rows of segment/ with at least image_id, init_side and error.
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
