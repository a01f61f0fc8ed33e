"""What training does to images and labels beyond the paper.

K = images of one pass, H, W = pixels.

All chance of an image comes from (seed, epoch, its row in the corpus), so it depends neither on the
images beside it nor on which worker has it.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from iem_batch.segnet.settings import TrainSettings

DRAWN = 10
"""Numbers drawn for an image: mirrored or not, a crop's side and corner, gains and offsets."""


def augment(
    image_K3HW: Tensor, target_K1HW: Tensor, row_K: Tensor, settings: TrainSettings, epoch: int
) -> tuple[Tensor, Tensor]:
    """Change images and their labels as the settings say; the paper's change nothing.

    Args:
        image_K3HW: float.
        target_K1HW: float in [0, 1], share of foreground.
        row_K: int64, number of each image in the corpus.
        settings: what is to be done.
        epoch: counted from 0.

    Returns:
        image_K3HW, target_K1HW: of the same shapes; the target is soft where pixels were mixed.
    """
    if settings.horizontal_flips or settings.random_crops or settings.color_jitter:
        # Each image draws the same numbers under all settings.
        drawn_KD = _draw(row_K, settings.seed, epoch).to(image_K3HW.device)
        if settings.horizontal_flips:
            image_K3HW, target_K1HW = _mirror(image_K3HW, target_K1HW, drawn_KD[:, 0] < 0.5)
        if settings.random_crops:
            side_K = 1 - settings.random_crops * drawn_KD[:, 1]
            corner_K2 = drawn_KD[:, 2:4] * (1 - side_K[:, None])
            image_K3HW = crop(image_K3HW, side_K, corner_K2)
            target_K1HW = crop(target_K1HW, side_K, corner_K2)
        if settings.color_jitter:
            drawn_K23 = drawn_KD[:, 4:].reshape(-1, 2, 3)
            image_K3HW = jitter_colors(image_K3HW, settings.color_jitter * (2 * drawn_K23 - 1))
    return image_K3HW, target_K1HW


def crop(picture_KCHW: Tensor, side_K: Tensor, corner_K2: Tensor) -> Tensor:
    """Cut a part out of each picture and bring it to the picture's size, bilinearly.

    Args:
        picture_KCHW: float.
        side_K: length of the part's sides, as a share of the picture's, above 0 and up to 1.
        corner_K2: how far right of and below the picture's corner the part's is, in the same
            shares, so that corner + side is at most 1.
    """
    # In affine_grid the picture is [-1, 1] on each axis, so the part's centre is this far off 0.
    centre_K2 = 2 * corner_K2 + side_K[:, None] - 1
    of_axes_K22 = side_K[:, None, None] * torch.eye(2, device=side_K.device)
    theta_K23 = torch.cat([of_axes_K22, centre_K2[:, :, None]], 2)
    grid_KHW2 = F.affine_grid(theta_K23, list(picture_KCHW.shape), align_corners=False)
    return F.grid_sample(
        picture_KCHW, grid_KHW2, mode="bilinear", padding_mode="border", align_corners=False
    )


def jitter_colors(image_K3HW: Tensor, change_K23: Tensor) -> Tensor:
    """Scale each colour channel by 1 + change[0] and add change[1]; nothing is cut off."""
    gain_K3, offset_K3 = 1 + change_K23[:, 0], change_K23[:, 1]
    return image_K3HW * gain_K3[:, :, None, None] + offset_K3[:, :, None, None]


def _draw(row_K: Tensor, seed: int, epoch: int) -> Tensor:
    rows = row_K.tolist()
    drawn = [np.random.default_rng((seed, epoch, row)).random(DRAWN, np.float32) for row in rows]
    return torch.from_numpy(np.array(drawn, np.float32).reshape(-1, DRAWN))


def _mirror(image_K3HW: Tensor, target_K1HW: Tensor, flip_K: Tensor) -> tuple[Tensor, Tensor]:
    flip_K111 = flip_K[:, None, None, None]
    return (
        torch.where(flip_K111, image_K3HW.flip(-1), image_K3HW),
        torch.where(flip_K111, target_K1HW.flip(-1), target_K1HW),
    )
