"""What each side of a mask predicts of the other, as a picture to look at."""

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.iem.objective import inpaint
from iem_batch.iem.settings import IEMSettings


def composed_inpaintings(
    image_HW3: NDArray[np.uint8], mask_HW: NDArray[np.bool_], settings: IEMSettings
) -> NDArray[np.uint8]:
    """Put in place of every pixel what the other side of the mask predicts there (Eq. 7).

    The foreground is inpainted from the background and the background from the foreground; the
    mean difference to the image, side by side, is the inpainting error E (Eq. 8).

    Args:
        image_HW3: uint8 RGB.
        mask_HW: True is foreground; with pixels on both sides, else nothing is predicted.
        settings: the inpainter.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    assert 0 < mask_HW.mean() < 1
    image_3HW = torch.tensor(image_HW3, dtype=torch.float64).movedim(2, 0)
    side_HW = torch.tensor(mask_HW, dtype=torch.float64)
    from_background = inpaint(image_3HW, 1 - side_HW, settings)
    from_foreground = inpaint(image_3HW, side_HW, settings)
    composed_3HW = torch.where(torch.tensor(mask_HW), from_background, from_foreground)
    return composed_3HW.round().clamp(0, 255).to(torch.uint8).movedim(0, 2).numpy()
