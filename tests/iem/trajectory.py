"""What the reference does in a run, mask by mask."""

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.iem.objective import centred, inpaint
from iem_batch.iem.reference import step
from iem_batch.iem.result import Status, mask_status
from iem_batch.iem.settings import IEMSettings


def trajectory(
    image_HW3: NDArray[np.uint8], first_mask_HW: NDArray[np.bool_], settings: IEMSettings
) -> list[NDArray[np.bool_]]:
    """All masks of a run, the first one included, up to the first empty or full one."""
    image_CHW = torch.from_numpy(centred(image_HW3)).double().movedim(2, 0) / 127.5
    masks = [torch.from_numpy(first_mask_HW)]
    while len(masks) <= settings.iterations and mask_status(masks[-1].numpy()) == Status.OK:
        masks.append(step(image_CHW, masks[-1], settings))
    return [mask.numpy() for mask in masks]


def is_decided(
    image_HW3: NDArray[np.uint8], first_mask_HW: NDArray[np.bool_], settings: IEMSettings
) -> bool:
    """Whether no prediction in the run equals its pixel.

    Where one does, |x - psi| has no derivative, and rounding decides which one is used. Among
    small whole numbers that happens: the mean of two pixels is a third.
    """
    image_CHW = torch.from_numpy(centred(image_HW3)).double().movedim(2, 0)
    for mask_HW in trajectory(image_HW3, first_mask_HW, settings):
        if mask_status(mask_HW) != Status.OK:
            continue
        for scored in (mask_HW, ~mask_HW):
            predicted = inpaint(image_CHW, torch.from_numpy(~scored).double(), settings)
            if ((predicted - image_CHW).abs().amin(dim=0)[scored] < 1e-6).any():
                return False
    return True
