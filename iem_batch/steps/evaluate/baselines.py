"""Methods to compare IEM with that need the pixels. H, W = pixels."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.errors import SettingsError

GRABCUT_ITERATIONS = 5
"""As in the program of OpenCV's documentation."""

FRAME_SHARE = 1 / 16
"""Width of the frame whose mean colour is Otsu's background, as a share of the side."""


Segment: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.bool_]]
"""From image_HW3, RGB, to mask_HW."""


def grabcut(image_HW3: NDArray[np.uint8], side_px: int) -> NDArray[np.bool_]:
    """Segment by GrabCut (Rother et al. 2004, as in OpenCV) from a centred square.

    What lies outside of the square is background for good. The clusters GrabCut starts with are
    drawn from OpenCV's own generator, which is seeded anew for each image.

    Args:
        image_HW3: uint8 RGB.
        side_px: of the square.

    Returns:
        mask_HW: certain and probable foreground.

    Raises:
        BackendUnavailableError: OpenCV is not installed.
        SettingsError: the square leaves no background.
    """
    cv2 = _cv2()
    height, width = image_HW3.shape[:2]
    if side_px >= min(height, width):
        raise SettingsError(
            f"evaluate.grabcut_sides has {side_px}, which leaves no background in an image of "
            f"{height} x {width}"
        )
    rectangle = ((width - side_px) // 2, (height - side_px) // 2, side_px, side_px)
    mask_HW = np.zeros((height, width), dtype=np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    bgr_HW3 = np.ascontiguousarray(image_HW3[..., ::-1])
    cv2.grabCut(bgr_HW3, mask_HW, rectangle, *models, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_RECT)
    return np.asarray((mask_HW == cv2.GC_FGD) | (mask_HW == cv2.GC_PR_FGD))


def otsu(image_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Segment by Otsu's threshold on the distance of each pixel's colour to that of the frame.

    Args:
        image_HW3: uint8 RGB.

    Returns:
        mask_HW: where the distance to the mean colour of the frame is above the threshold.

    Raises:
        BackendUnavailableError: OpenCV is not installed.
    """
    cv2 = _cv2()
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


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A method to compare IEM with."""

    label: str
    """What it is called in tables."""
    segment: Callable[..., NDArray[np.bool_]]
    """From image_HW3, uint8 RGB, to mask_HW; and from side_px, if it starts from a square."""
    is_from_square: bool = False
    """Whether it starts from a centred square; it is run for each of evaluate.grabcut_sides."""
    package: str | None = None
    """What it imports from the extra truth."""


BASELINES = {
    "grabcut": Baseline(label="GrabCut", segment=grabcut, is_from_square=True, package="cv2"),
    "otsu": Baseline(label="Otsu", segment=otsu, package="cv2"),
}
"""Name in `evaluate.baselines` -> the method."""


def methods_of(names: Iterable[str], sides: Iterable[int]) -> dict[str, Segment]:
    """Give the methods of some baselines, by their names in an evaluation.

    Args:
        names: of the baselines.
        sides: in pixels, of the squares that some of them start from.

    Raises:
        BackendUnavailableError: a package is not installed.
    """
    methods: dict[str, Segment] = {}
    for name in names:
        baseline = BASELINES[name]
        if baseline.package is not None:
            with needs_extra("truth", f"the baseline {name}"):
                import_module(baseline.package)
        if baseline.is_from_square:
            for side in sides:
                methods[f"{name}_{side}"] = partial(baseline.segment, side_px=side)
        else:
            methods[name] = baseline.segment
    return methods


def _cv2() -> ModuleType:
    with needs_extra("truth", "a baseline, grabcut or otsu,"):
        import cv2
    module: ModuleType = cv2
    return module
