"""Methods to compare the masks of a run with: one table, each entry a function of the pixels.

H, W = pixels of the engine's square.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.masks import centred_squares
from iem_batch.steps.fuse.fusion import graph_cut

GRABCUT_ITERATIONS = 5
"""As in the program of OpenCV's documentation."""

FRAME_SHARE = 1 / 16
"""Width of the frame whose mean colour is Otsu's background, as a share of the side."""

SQUARE_SHARES = tuple(side / 128 for side in (32, 44, 60, 78, 92, 108, 120))
"""Sides of the squares that vote in `squares_cut`."""

Draw = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
"""Segments an image, uint8 RGB (H, W, 3); True is foreground."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method without a run."""

    label: str
    """What it is called, for people."""
    draw: Draw


def centre_square(image_HW3: NDArray[np.uint8], share: float = 78 / 128) -> NDArray[np.bool_]:
    """Call the centre foreground, whatever is there."""
    return np.asarray(_squares(image_HW3, [share])[0])


def _squares(image_HW3: NDArray[np.uint8], shares: Sequence[float]) -> NDArray[np.bool_]:
    """Draw centred squares: mask_SHW. Also of a tiny image each leaves some background."""
    height, width = image_HW3.shape[:2]
    side = min(height, width)
    return centred_squares(
        height, width, [min(max(round(share * side), 1), side - 1) for share in shares]
    )


def all_foreground(image_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Call everything foreground."""
    return np.ones(image_HW3.shape[:2], dtype=np.bool_)


def otsu(image_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Segment by Otsu's threshold on the distance of each pixel's colour to that of the frame."""
    border = max(1, round(FRAME_SHARE * min(image_HW3.shape[:2])))
    is_frame = np.ones(image_HW3.shape[:2], dtype=np.bool_)
    is_frame[border:-border, border:-border] = False
    difference_HW3 = image_HW3 - image_HW3[is_frame].mean(axis=0)
    # The longest distance of two colours, 255 * sqrt(3), becomes 255.
    distance_HW = np.sqrt((difference_HW3**2).sum(axis=2) / 3)
    _, mask_HW = cv2.threshold(
        np.rint(distance_HW).astype(np.uint8), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU
    )
    return np.asarray(mask_HW, dtype=np.bool_)


def grabcut(image_HW3: NDArray[np.uint8], share: float) -> NDArray[np.bool_]:
    """Segment by GrabCut (Rother et al. 2004, as in OpenCV) from a centred square.

    Args:
        image_HW3: uint8 RGB.
        share: side of the square, as a share; what lies outside is background for good.
    """
    inside_HW = centre_square(image_HW3, share)
    trimap_HW = np.where(inside_HW, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    return graph_cut(image_HW3, trimap_HW, iterations=GRABCUT_ITERATIONS)


def squares_cut(image_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Cut from a vote of bare squares in the centre: what a graph cut gives without IEM."""
    vote_HW = _squares(image_HW3, SQUARE_SHARES).mean(axis=0)
    trimap_HW = np.where(vote_HW > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap_HW[vote_HW == 0] = cv2.GC_BGD
    trimap_HW[vote_HW == 1] = cv2.GC_FGD
    return graph_cut(image_HW3, trimap_HW, iterations=1)


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "squares_cut": Baseline(label="squares + cut, no IEM", draw=squares_cut),
        "grabcut_78": Baseline(
            label="GrabCut, rectangle 78", draw=partial(grabcut, share=78 / 128)
        ),
        "grabcut_112": Baseline(
            label="GrabCut, rectangle 112", draw=partial(grabcut, share=112 / 128)
        ),
        "grabcut_120": Baseline(
            label="GrabCut, rectangle 120", draw=partial(grabcut, share=120 / 128)
        ),
        "otsu": Baseline(label="Otsu", draw=otsu),
        "centre_square": Baseline(label="centre square", draw=centre_square),
        "all_foreground": Baseline(label="all foreground", draw=all_foreground),
    }
)
"""Name in an evaluation -> the method; rectangles by their side in a square of 128."""
