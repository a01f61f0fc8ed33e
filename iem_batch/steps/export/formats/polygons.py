"""The outline of a mask as polygons without holes, of which readers make the same mask again."""

from collections import defaultdict
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
Line = NDArray[np.int32]
"""(N, 2) x and y."""


def outlines(mask_HW: NDArray[np.bool_]) -> list[Line]:
    """Draw around each connected part of a mask.

    A polygon has no holes, so that to a hole leads a slit of no width, there and back.

    Args:
        mask_HW: the mask; pixels that touch at a corner are connected.

    Returns:
        One (N, 2) array for each part: x and y of pixels of its own at its edge, in order, N >= 1.
        The pixels within such a polygon by the even-odd rule, and those under its line, are the
        part: so `cv2.fillPoly` fills it.
    """
    found, hierarchy = cv2.findContours(
        mask_HW.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    if hierarchy is None:
        return []
    contours: list[Line] = [contour[:, 0, :].astype(np.int32) for contour in found]
    parents = hierarchy[0, :, 3]
    holes = defaultdict(list)
    for contour, parent in zip(contours, parents, strict=True):
        holes[parent].append(contour)
    return [
        _corners(_with_holes(contour, holes[number], mask_HW) if number in holes else contour)
        for number, (contour, parent) in enumerate(zip(contours, parents, strict=True))
        if parent == -1
    ]


def fine_outlines(mask_HW: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Draw around each connected part of a mask, a quarter of a pixel within its edge.

    Args:
        mask_HW: the mask.

    Returns:
        As `outlines`, N >= 3, x and y from the left upper corner of the picture, at which the first
        pixel begins: by the even-odd rule the centre of each pixel of the part lies within. So
        pycocotools fills it.
    """
    doubled = np.repeat(np.repeat(mask_HW, 2, axis=0), 2, axis=1)
    return [outline / 2 + 0.25 for outline in outlines(doubled)]


def _with_holes(outer: Line, holes: list[Line], mask_HW: NDArray[np.bool_]) -> Line:
    """Make one line of the outer edge of a part and those of its holes.

    From the leftmost pixel of a hole's edge the slit goes left over the part to the next edge. That
    is the outer one or of a hole that lies further left, so no hole is left out.
    """
    slits: dict[Point, list[list[Point]]] = defaultdict(list)
    for hole in holes:
        line = _from(hole, int(hole[:, 0].argmin()))
        x, y = line[0]
        outside = np.flatnonzero(~mask_HW[y, :x])
        slits[int(outside[-1]) + 1 if len(outside) else 0, y].append(line)
    return np.array(list(_walk(_from(outer, 0), slits)), dtype=np.int32)


def _from(contour: Line, first: int) -> list[Point]:
    """List the points of a closed line from one of them back to it."""
    points = [(x, y) for x, y in np.roll(contour, -first, axis=0).tolist()]
    return [*points, points[0]]


def _walk(outer: list[Point], slits: dict[Point, list[list[Point]]]) -> Iterator[Point]:
    """Follow a line, and at each slit the line it leads to, and come back."""
    lines = [iter(outer)]
    while lines:
        point = next(lines[-1], None)
        if point is None:
            lines.pop()
            continue
        yield point
        if at_point := slits.pop(point, None):
            for line in at_point:
                lines += [iter([point]), iter(line)]


def _corners(line: Line) -> Line:
    """Leave out points at which a closed line does not turn."""
    line = line[np.any(line != np.roll(line, 1, axis=0), axis=1) | (len(line) == 1)]
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    goes_on = (cross == 0) & (np.sum(before * after, axis=1) > 0)
    return np.asarray(line[~goes_on])
