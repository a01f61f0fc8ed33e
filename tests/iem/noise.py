"""Pictures of independent pixels: nothing to find in them, and every rule of IEM gets exercised."""

import numpy as np
from numpy.typing import NDArray


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    """Draw every value of every pixel: shape (..., 3)."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)


def random_masks(seed: int, *shape: int, share: float = 0.5) -> NDArray[np.bool_]:
    """Draw every pixel of every mask; True with probability `share`."""
    return np.random.default_rng(seed).random(shape) < share
