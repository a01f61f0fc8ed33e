import numpy as np
import pytest
import torch
from torch import Tensor

from iem_batch.iem.blur import make_blur
from iem_batch.iem.gradient import UNIT, error_terms, inpaint_sides, objective_gradient
from iem_batch.iem.objective import inpainting_errors, objective
from iem_batch.iem.settings import IEMSettings
from tests.iem.noise import noise, random_masks

CPU = torch.device("cpu")

SIZES_AND_SETTINGS = [
    ((9, 14), IEMSettings()),
    ((40, 23), IEMSettings()),
    ((1, 7), IEMSettings()),
    ((30, 30), IEMSettings(kernel_px=3, sigma_px=0.7)),
    ((6, 6), IEMSettings(kernel_px=1)),
    ((10, 12), IEMSettings(diversity_weight=0)),
    ((10, 12), IEMSettings(diversity_weight=5)),
]


def planes(colour_BHW3: Tensor) -> Tensor:
    """Order the axes as the gradient wants them, with the plane of ones."""
    colour_BH3W = colour_BHW3.movedim(3, 2)
    return torch.cat([colour_BH3W, torch.ones_like(colour_BH3W[:, :, :1])], dim=2)


@pytest.mark.parametrize(("size", "settings"), SIZES_AND_SETTINGS)
def test_by_hand_equals_autograd(size: tuple[int, int], settings: IEMSettings) -> None:
    """Every term, also those through MEAN_WEIGHT and through far windows of either side."""
    colour_BHW3 = torch.from_numpy(noise(0, 3, *size)).double()
    share = np.array([0.5, 0.05, 0.95])[:, None, None]
    mask_BHW = torch.from_numpy(
        random_masks(1, 3, *size, share=0) | (noise(2, 3, *size)[..., 0] < 256 * share)
    )
    mask_BHW[:, 0, 0], mask_BHW[:, -1, -1] = True, False
    blur = make_blur(*size, settings, torch.float64, CPU)
    by_hand_BHW = objective_gradient(
        planes(colour_BHW3), mask_BHW[:, :, None].double(), blur, settings.diversity_weight
    )
    for colour_HW3, mask_HW, gradient_HW in zip(colour_BHW3, mask_BHW, by_hand_BHW, strict=True):
        relaxed_HW = mask_HW.double().requires_grad_()
        objective(colour_HW3.movedim(2, 0) / UNIT, relaxed_HW, settings).backward()
        torch.testing.assert_close(gradient_HW, relaxed_HW.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("size", "settings"), SIZES_AND_SETTINGS)
def test_error_terms_equal_the_objectives(size: tuple[int, int], settings: IEMSettings) -> None:
    colour_BHW3 = torch.from_numpy(noise(3, 2, *size)).double()
    mask_BHW = torch.from_numpy(random_masks(4, 2, *size)).double()
    mask_BHW[:, 0, 0], mask_BHW[:, -1, -1] = 1, 0
    mask_BH1W = mask_BHW[:, :, None]
    blur = make_blur(*size, settings, torch.float64, CPU)
    terms_B2 = error_terms(inpaint_sides(planes(colour_BHW3), mask_BH1W, blur), mask_BH1W)
    for colour_HW3, mask_HW, terms_2 in zip(colour_BHW3, mask_BHW, terms_B2, strict=True):
        expected = inpainting_errors(colour_HW3.movedim(2, 0) / UNIT, mask_HW, settings)
        torch.testing.assert_close(terms_2, torch.stack(expected), rtol=1e-12, atol=0)


def test_a_flat_picture_has_no_gradient() -> None:
    """Exactly 0, so that no pixel moves on rounding noise."""
    image_1H4W = planes(torch.zeros(1, 12, 12, 3))
    mask_1H1W = torch.from_numpy(random_masks(0, 1, 12, 12))[:, :, None].float()
    blur = make_blur(12, 12, IEMSettings(), torch.float32, CPU)
    assert (objective_gradient(image_1H4W, mask_1H1W, blur, 0.001) == 0).all()
