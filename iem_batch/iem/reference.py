"""IEM written for reading: autograd, float64, one image at a time. The oracle of every test.

What all backends share:

- The 8-bit value v stands for v / 127.5 - 1. The objective does not change when a constant is
  added to a channel, so the engines subtract the channel's most common value instead of 127.5:
  a flat picture, or a flat side of that value, then gives exactly 0 and not rounding noise.
- E = E_F + E_B, each a mean over channels. `error_foreground` is the first term of Eq. 8.
- An empty or full mask is absorbing: the formulas divide by zero there. Iteration stops, the
  status says which, both errors are 0, and `iterations` is the t at which the mask became so,
  0 for a first mask.
- Otherwise `iterations` is the smallest t >= 1 whose mask equals that of some s < t, or N, the
  number asked for, if there is none. The steps are deterministic, so the final mask of such an
  image is that of iteration s + (N - s) mod (t - s). This engine runs all N all the same.
- N = 0 is legal: the first mask and its errors.
- Every number is finite, whatever the picture and whatever its size.
- Where a prediction equals its pixel exactly, |x - psi| has no derivative and rounding decides:
  there, and only there, backends may differ. It takes sides of a few pixels of few values.

B = images, S = first masks of each image, C = 3 colours, H, W = pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iem_batch.iem.dynamics import advance, movable_pixels
from iem_batch.iem.inputs import check_inputs
from iem_batch.iem.objective import centred, inpainting_errors, objective
from iem_batch.iem.result import IEMResult, Status, mask_status
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_state import exact_torch


def step(image_CHW: Tensor, mask_HW: Tensor, settings: IEMSettings) -> Tensor:
    """Run one iteration on a bool mask that has both sides."""
    relaxed_HW = mask_HW.to(image_CHW).requires_grad_()
    (gradient_HW,) = torch.autograd.grad(objective(image_CHW, relaxed_HW, settings), relaxed_HW)
    return advance(mask_HW, gradient_HW, movable_pixels(mask_HW, settings), settings)


def run(image_CHW: Tensor, first_mask_HW: Tensor, settings: IEMSettings) -> tuple[Tensor, int]:
    """Run all iterations from one first mask.

    Returns:
        mask_HW: the final mask.
        iterations: as in the module's docstring.
    """
    mask_HW = first_mask_HW
    seen = {mask_HW.numpy().tobytes()}
    recurred_at = None
    for t in range(settings.iterations + 1):
        if mask_status(mask_HW.numpy()) != Status.OK:
            return mask_HW, t
        if t == settings.iterations:
            break
        mask_HW = step(image_CHW, mask_HW, settings)
        if recurred_at is None and mask_HW.numpy().tobytes() in seen:
            recurred_at = t + 1
        seen.add(mask_HW.numpy().tobytes())
    return mask_HW, settings.iterations if recurred_at is None else recurred_at


def segment(
    image_BHW3: NDArray[np.uint8],
    first_mask_BSHW: NDArray[np.bool_],
    settings: IEMSettings,
    *,
    num_threads: int = 1,
    dtype: torch.dtype = torch.float64,
) -> IEMResult:
    """Run IEM from every first mask of every image; see `iem_batch.iem.backends.Segment`.

    Args:
        image_BHW3: uint8 RGB.
        first_mask_BSHW: the masks each image starts from.
        settings: what decides the masks.
        num_threads: threads of one torch operation; images are done one after the other.
        dtype: of everything computed.

    Raises:
        SettingsError: the arguments do not go together; see `check_inputs`.
    """
    check_inputs(image_BHW3, first_mask_BSHW, num_threads)
    shape_BS = first_mask_BSHW.shape[:2]
    mask_BSHW = np.empty(first_mask_BSHW.shape, dtype=np.bool_)
    error_2BS = np.zeros((2, *shape_BS))
    iterations_BS = np.empty(shape_BS, dtype=np.int32)
    with exact_torch(num_threads):
        for b, s in np.ndindex(shape_BS):
            image_CHW = torch.from_numpy(centred(image_BHW3[b])).to(dtype).permute(2, 0, 1) / 127.5
            first_mask_HW = torch.from_numpy(first_mask_BSHW[b, s].copy())
            mask_HW, iterations_BS[b, s] = run(image_CHW, first_mask_HW, settings)
            mask_BSHW[b, s] = mask_HW.numpy()
            if mask_status(mask_BSHW[b, s]) == Status.OK:
                error_2BS[:, b, s] = inpainting_errors(image_CHW, mask_HW.to(dtype), settings)
    return IEMResult(
        mask_BSHW=mask_BSHW,
        error_foreground_BS=error_2BS[0],
        error_background_BS=error_2BS[1],
        iterations_BS=iterations_BS,
        status_BS=mask_status(mask_BSHW),
    )
