"""IEM by autograd on a CUDA device, many images at once: the formulas of `iem.objective`.

No early exit, nothing by hand: what a plain PyTorch program does. In float64 it is the oracle.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import grad, vmap

from iem_batch.iem.dynamics import advance, movable_pixels
from iem_batch.iem.objective import centred, inpainting_errors, objective
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_state import exact_torch

SETTINGS = IEMSettings(colors="rgb", diversity_weight=0.001)


def _objective(mask_HW: Tensor, image_CHW: Tensor) -> Tensor:
    return objective(image_CHW, mask_HW, SETTINGS)


def _error(mask_HW: Tensor, image_CHW: Tensor) -> Tensor:
    foreground, background = inpainting_errors(image_CHW, mask_HW, SETTINGS)
    return foreground + background


def segment_by_autograd(
    image_BHW3: NDArray[np.uint8],
    first_mask_HW: NDArray[np.bool_],
    iterations: int,
    dtype: torch.dtype,
    device: str = "cuda",
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Run IEM from one first mask.

    Args:
        image_BHW3: uint8 RGB.
        first_mask_HW: the mask that all images start from.
        iterations: all of them are run.
        dtype: of everything computed.
        device: of everything computed.

    Returns:
        The final masks, bool (B, H, W), and their inpainting errors, 0 without both sides.
    """
    image_B3HW = torch.from_numpy(np.stack([centred(image) for image in image_BHW3]))
    image_BCHW = image_B3HW.permute(0, 3, 1, 2).to(device, dtype) / 127.5
    first = torch.from_numpy(np.array(first_mask_HW)).to(device)
    mask_BHW = first.expand(len(image_BHW3), -1, -1)
    gradient = vmap(grad(_objective))
    with exact_torch(1):
        for _ in range(iterations):
            g_BHW = gradient(mask_BHW.to(dtype), image_BCHW)
            next_BHW = advance(mask_BHW, g_BHW, movable_pixels(mask_BHW, SETTINGS), SETTINGS)
            mask_BHW = torch.where(_both_sides(mask_BHW), next_BHW, mask_BHW)
        error_B = vmap(_error)(mask_BHW.to(dtype), image_BCHW)
    error_B = torch.where(_both_sides(mask_BHW)[:, 0, 0], error_B, 0.0)
    return mask_BHW.cpu().numpy(), error_B.double().cpu().numpy()


def _both_sides(mask_BHW: Tensor) -> Tensor:
    mask_BN = mask_BHW.flatten(1)
    return (mask_BN.any(dim=1) & ~mask_BN.all(dim=1))[:, None, None]
