"""One mask of many: the vote of an image's masks, and a graph cut that is started from it.

B = images, S = masks of each, H, W = pixels of the engine's square.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from iem_batch.foreground import with_consistent_sides
from iem_batch.steps.fuse.settings import FuseMethod

PRIOR_WIDTH = 0.5
"""Standard deviation of the centre prior, in half sides of the square."""

START = 0.3
"""Mean of vote and prior above which a pixel starts as probable foreground."""

FRAME_SHARE = 1 / 32
"""Width of the frame that is background unless all masks say foreground, as a share of the side."""

CORE_RADIUS = 0.45
"""Half width, in half sides, of the core that is foreground where all masks say so."""

ITERATIONS = 3
"""Rounds of colour models and cut: over one, 0.1 to 1.2 points of IoU on five sets of photos."""

NO_RECTANGLE = (0, 0, 1, 1)
"""GrabCut needs one as an argument, also where it takes a trimap."""


def fuse_one(
    method: FuseMethod,
    chosen: int,
    image_HW3: NDArray[np.uint8],
    mask_SHW: NDArray[np.bool_],
    error_S: NDArray[np.float64],
    vote_HW: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Make one mask of those of an image.

    Args:
        method: as in `FuseSettings`.
        chosen: the first mask of the whole run, which `dataset` takes.
        image_HW3: uint8 RGB.
        mask_SHW: True is foreground.
        error_S: their inpainting errors; of equal ones `image` takes the first.
        vote_HW: in [0, 1]; None is the vote of the masks.

    Returns:
        mask_HW: True is foreground.
    """
    if method == "dataset":
        return np.asarray(mask_SHW[chosen])
    if method == "image":
        return np.asarray(mask_SHW[int(error_S.argmax())])
    vote_HW = vote(mask_SHW) if vote_HW is None else vote_HW
    return cut(image_HW3, vote_HW) if method == "cut" else vote_HW > 0.5


def vote(mask_SHW: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the share of masks that call each pixel foreground, all sides called the same.

    Returns:
        vote_HW: in [0, 1].
    """
    consistent_SHW, _ = with_consistent_sides(mask_SHW)
    return np.asarray(consistent_SHW.mean(axis=0))


def cut(image_HW3: NDArray[np.uint8], vote_HW: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cut the foreground out by its colours and edges (GrabCut, Rother et al. 2004).

    Args:
        image_HW3: uint8 RGB.
        vote_HW: as `vote` gives it.

    Returns:
        mask_HW: True is foreground.
    """
    return graph_cut(image_HW3, trimap(vote_HW), ITERATIONS)


def trimap(vote_HW: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Say where a cut starts and which pixels are certain, by the vote and by where they lie.

    The subject of a photo is in the middle. So the frame is background, except where all masks
    say foreground, the core is foreground where all masks say so, and between them the mean of vote
    and a centre prior decides where the cut starts. The values were chosen by measurement
    (`benchmarks/tables.py`).

    Returns:
        trimap_HW: OpenCV's GC_BGD, GC_FGD, GC_PR_BGD and GC_PR_FGD.
    """
    prior_HW, is_frame_HW, is_core_HW = places(*vote_HW.shape)
    is_likely_HW = (vote_HW + prior_HW) / 2 > START
    trimap_HW = np.where(is_likely_HW, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap_HW[is_frame_HW & (vote_HW < 1)] = cv2.GC_BGD
    trimap_HW[is_core_HW & (vote_HW == 1)] = cv2.GC_FGD
    return trimap_HW


def graph_cut(
    image_HW3: NDArray[np.uint8], trimap_HW: NDArray[np.uint8], iterations: int
) -> NDArray[np.bool_]:
    """Run OpenCV's GrabCut from a trimap; the same bits on every machine and thread.

    Args:
        image_HW3: uint8 RGB.
        trimap_HW: OpenCV's GC_BGD, GC_FGD, GC_PR_BGD and GC_PR_FGD.
        iterations: of colour models and cut in turn.

    Returns:
        mask_HW: certain and probable foreground; of a trimap with one side alone, that side.
    """
    is_foreground_HW = (trimap_HW == cv2.GC_FGD) | (trimap_HW == cv2.GC_PR_FGD)
    if is_foreground_HW.all() or not is_foreground_HW.any():
        return np.asarray(is_foreground_HW)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cut_HW = trimap_HW.copy()
    cv2.setRNGSeed(0)  # of this thread, for the clusters that the colour models start with
    cv2.grabCut(image_HW3, cut_HW, NO_RECTANGLE, *models, iterations, cv2.GC_INIT_WITH_MASK)
    return np.asarray((cut_HW == cv2.GC_FGD) | (cut_HW == cv2.GC_PR_FGD))


@functools.lru_cache(8)
def places(
    height: int, width: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Give the centre prior of a square with round corners, the frame, and the core."""
    row_H = np.abs((2 * np.arange(height) + 1) / height - 1)[:, None]
    column_W = np.abs((2 * np.arange(width) + 1) / width - 1)[None, :]
    radius_HW = (row_H**4 + column_W**4) ** 0.25
    prior_HW = np.exp(-(radius_HW**2) / (2 * PRIOR_WIDTH**2))
    is_frame_HW = np.maximum(row_H, column_W) > 1 - 2 * FRAME_SHARE
    return prior_HW, is_frame_HW, radius_HW < CORE_RADIUS
