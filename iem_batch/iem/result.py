"""What every backend returns. B = images, S = first masks of each image, H, W = pixels."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """How the final mask of an image came out."""

    OK = 0
    EMPTY = 1
    """No pixel is foreground; the objective is undefined there, so the errors are 0."""
    FULL = 2
    """Every pixel is foreground; the objective is undefined there, so the errors are 0."""


def mask_status(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Say which sides masks have.

    Args:
        mask: bool [..., H, W].

    Returns:
        status: a `Status` for each mask, [...].
    """
    empty, full = ~mask.any(axis=(-2, -1)), mask.all(axis=(-2, -1))
    status = np.select([empty, full], [Status.EMPTY, Status.FULL], Status.OK)
    return status.astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class IEMResult:
    """Final masks and their inpainting errors; every number is finite."""

    mask_BSHW: NDArray[np.bool_]
    """True is foreground."""

    error_foreground_BS: NDArray[np.float64]
    """Mean error of the foreground inpainted from the background, in [0, 2]; first term of E."""

    error_background_BS: NDArray[np.float64]
    """Mean error of the background inpainted from the foreground, in [0, 2]; second term of E."""

    iterations_BS: NDArray[np.int32]
    """Iterations computed: up to the first mask seen before, or all of them."""

    status_BS: NDArray[np.uint8]
    """A `Status` for each final mask."""

    @property
    def error_BS(self) -> NDArray[np.float64]:
        """Inpainting error E (Eq. 8) of the final masks, the sum of its two terms."""
        return self.error_foreground_BS + self.error_background_BS
