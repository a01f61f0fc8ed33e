"""Pairs as images and COCO annotations with polygons, for tools that read no run lengths."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.steps.export.formats import coco
from iem_batch.steps.export.formats.pair import Pair, Place
from iem_batch.steps.export.formats.polygons import fine_outlines

complete = coco.complete


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as `coco` does; an annotation has one polygon for each connected part.

    Returns:
        Name of each file -> its bytes.
    """
    return coco.lay_out(pairs, place, polygons)


def polygons(mask_HW: NDArray[np.bool_]) -> list[list[float]]:
    """List the polygons of a mask, each as x, y, x, y, ..."""
    return [outline.ravel().tolist() for outline in fine_outlines(mask_HW)]
