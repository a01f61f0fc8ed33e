"""Choose one first mask for a whole run, without labels.

The paper keeps one first mask for the whole collection: the square whose masks have the highest
mean inpainting error (Section 4.1).
"""

from iem_batch.errors import StepMissingError
from iem_batch.run.marks import Summary


def dataset_side(segmented: Summary) -> int | None:
    """Choose the first mask of a whole run.

    Args:
        segmented: the summary of segment, with the mean error of each first mask.

    Returns:
        The side in pixels with the highest mean error; of equal ones the smallest. None where the
        masks are those of an engine in IEM's place, which has no first masks.

    Raises:
        StepMissingError: there is no mask to choose from.
    """
    if not segmented.facts["sides"]:
        return None
    sides = {int(name): side for name, side in segmented.facts["sides"].items() if side["count"]}
    if not sides:
        raise StepMissingError(
            "no image of the run has a mask; see quarantine/ for why every image was rejected"
        )
    return min(sides, key=lambda side: (-sides[side]["mean_error"], side))
