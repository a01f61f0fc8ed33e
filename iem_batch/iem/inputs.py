"""The check every backend starts with."""

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import SettingsError


def check_inputs(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    num_threads: int,
) -> None:
    """Check the arguments of `iem_batch.iem.backends.Segment`.

    Raises:
        SettingsError: an array has another shape or dtype, or `num_threads` is below 1.
    """
    if image_BHW3.dtype != np.uint8 or image_BHW3.ndim != 4 or image_BHW3.shape[3] != 3:
        raise SettingsError(
            f"images are {image_BHW3.dtype} {image_BHW3.shape}; they must be uint8 (B, H, W, 3)"
        )
    num_images, height, width, _ = image_BHW3.shape
    if height < 1 or width < 1:
        raise SettingsError(f"images are {height} x {width}; each side must be at least 1")
    wanted = (num_images, *first_mask_BSHW.shape[1:2], height, width)
    if first_mask_BSHW.dtype != np.bool_ or first_mask_BSHW.shape != wanted:
        raise SettingsError(
            f"first masks are {first_mask_BSHW.dtype} {first_mask_BSHW.shape}; "
            f"for these images they must be bool ({num_images}, S, {height}, {width})"
        )
    if num_threads < 1:
        raise SettingsError(f"num_threads is {num_threads}; it must be at least 1")
