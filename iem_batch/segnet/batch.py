"""What one worker is given of a batch.

N = images of one worker in one batch, H, W = pixels.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One worker's share of a batch, possibly of no image."""

    image_NHW3: Tensor
    """uint8 RGB."""

    mask_NHW: Tensor
    """bool, True is foreground."""

    row_N: Tensor
    """int64, number of the image in the corpus."""

    num_images: int
    """Images of the batch over all workers."""

    @property
    def num_pixels(self) -> int:
        """Pixels of the batch over all workers."""
        return self.num_images * self.mask_NHW.shape[1] * self.mask_NHW.shape[2]
