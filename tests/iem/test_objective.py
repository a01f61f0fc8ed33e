"""The objective on pictures small enough to work out by hand.

A row of pixels with a kernel of one tap has no blur at all: G(u) = u. A pixel is then predicted
from the other side by `MEAN_WEIGHT` alone, that is by the mean colour of that side.
"""

import numpy as np
import pytest
import torch
from torch import Tensor

from iem_batch.iem.objective import (
    blur,
    centred,
    diversity,
    gaussian_taps,
    inpaint,
    inpainting_errors,
    objective,
)
from iem_batch.iem.settings import IEMSettings

NO_BLUR = IEMSettings(kernel_px=1)
BOX_OF_THREE = IEMSettings(kernel_px=3, sigma_px=1e9)
"""Taps 1/3, 1/3, 1/3."""

HALF_FOREGROUND = torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)


def row(*colours: list[float]) -> Tensor:
    """One row of pixels, by colour."""
    return torch.tensor(colours, dtype=torch.float64)[:, None, :]


def test_taps_are_a_normalised_gaussian() -> None:
    """exp(-x^2 / 2 sigma^2) at x = -1, 0, 1 with sigma 1 is 0.6065, 1, 0.6065, of sum 2.2131."""
    taps = gaussian_taps(IEMSettings(kernel_px=3, sigma_px=1))
    assert taps.tolist() == pytest.approx([0.27406862, 0.45186276, 0.27406862])


def test_taps_of_a_needle_are_finite() -> None:
    """A sigma whose square is 0 in float64 gives 0 / 0 if the square is taken first."""
    assert gaussian_taps(IEMSettings(kernel_px=3, sigma_px=1e-300)).tolist() == [0, 1, 0]


def test_blur_is_two_zero_padded_passes() -> None:
    """One pass of twice the width, with taps 1 2 3 2 1 of 9, gives 3/9 at the impulse in a corner.

    Per axis, the first pass spreads the corner to 1 1 0 0 0 of 3 and loses what falls outside;
    the second makes it 2 2 1 0 0 of 9. From the middle, nothing is lost and both are the same.
    """
    for impulse, profile in ((0, [2, 2, 1, 0, 0]), (2, [1, 2, 3, 2, 1])):
        field = torch.zeros(1, 5, 5, dtype=torch.float64)
        field[0, impulse, impulse] = 1
        expected = torch.outer(torch.tensor(profile), torch.tensor(profile)) / 81
        torch.testing.assert_close(blur(field, BOX_OF_THREE)[0], expected.double())


def test_two_passes_of_11_differ_from_one_of_21_near_the_border_only() -> None:
    """An impulse 5 or more pixels from the border loses nothing to it in the first pass."""
    taps = gaussian_taps(IEMSettings())
    wide = torch.nn.functional.conv1d(taps[None, None], taps.flip(0)[None, None], padding=10)[0, 0]
    assert len(wide) == 21
    for column, same in ((4, False), (5, True)):
        field = torch.zeros(1, 31, 31, dtype=torch.float64)
        field[0, 15, column] = 1
        one_pass = torch.nn.functional.conv1d(
            field[0, 15][None, None], wide[None, None], padding=10
        )
        two_passes = blur(field, IEMSettings())[0, 15] / wide[10]
        assert torch.allclose(two_passes, one_pass[0, 0], atol=1e-12) == same


def test_far_from_the_mask_the_prediction_is_its_mean_colour() -> None:
    """Pixel 39 is out of reach of the mask (0 / 0 in Eq. 7): it gets (0.2 + 0.6) / 2."""
    image = torch.zeros(3, 1, 40, dtype=torch.float64)
    image[:, 0, :2] = torch.tensor([0.2, 0.6], dtype=torch.float64)
    mask = torch.zeros(1, 40, dtype=torch.float64)
    mask[0, :2] = 1
    predicted = inpaint(image, mask, IEMSettings())
    assert predicted[:, 0, 39].tolist() == pytest.approx([0.4] * 3, abs=1e-15)
    assert predicted[0, 0, 11].item() == pytest.approx(0.6, abs=1e-3), "one pixel of it in reach"


def test_the_gradient_flows_through_the_mean() -> None:
    """Where only the mean predicts, d prediction / d m_j = (x_j - mean) / s for every pixel j."""
    image = torch.zeros(3, 1, 40, dtype=torch.float64)
    image[:, 0, :3] = torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64)
    mask = torch.zeros(1, 40, dtype=torch.float64)
    mask[0, :2] = 1
    mask.requires_grad_()
    inpaint(image, mask, IEMSettings())[0, 0, 39].backward()
    assert mask.grad is not None
    assert mask.grad[0, :4].tolist() == pytest.approx([-0.1, 0.1, 0.25, -0.2])


def test_error_is_a_mean_over_colours_and_a_mean_over_each_side() -> None:
    """First colour: means 0.5 and 7 of the sides 0, 1 and 4, 10; the other colours are flat.

    Foreground from background: (|0 - 7| + |1 - 7|) / 2 = 6.5, over three colours 6.5 / 3.
    Background from foreground: (|4 - 0.5| + |10 - 0.5|) / 2 = 6.5 as well; with 1 pixel of
    foreground and 3 of background the two terms are |0 - 5| and (1 + 4 + 10) / 3.
    """
    image = row([0, 1, 4, 10], [0] * 4, [0] * 4)
    terms = inpainting_errors(image, HALF_FOREGROUND, NO_BLUR)
    assert [term.item() for term in terms] == pytest.approx([6.5 / 3, 6.5 / 3])
    one = torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    foreground, background = inpainting_errors(image, one, NO_BLUR)
    assert (foreground.item(), background.item()) == pytest.approx((5 / 3, 5 / 3))


def test_the_first_term_scores_the_foreground() -> None:
    """0, 8 | 2, 2: foreground (|0 - 2| + |8 - 2|) / 2 = 4, background |2 - 4| = 2."""
    image = row(*[[0, 8, 2, 2]] * 3)
    foreground, background = inpainting_errors(image, HALF_FOREGROUND, NO_BLUR)
    assert (foreground.item(), background.item()) == pytest.approx((4, 2))


def test_diversity_is_a_plain_sum() -> None:
    """Summed over pixels and colours, with no division and no 1/2.

    0 2 | 5 9 have means 1 and 7: 1 + 1 + 4 + 4 = 10. 0 0 | 0 4 have 0 and 2: 0 + 0 + 4 + 4 = 8.
    """
    image = row([0, 2, 5, 9], [0, 0, 0, 4], [0] * 4)
    assert diversity(image, HALF_FOREGROUND).item() == 18


def test_the_gradient_of_diversity_holds_the_means_fixed() -> None:
    """d D / d m_j = (x_j - mean)^2 - (x_j - mean')^2: what flows through the means cancels.

    With means 1 and 7: 1 - 49, 1 - 25, 16 - 4, 64 - 4.
    """
    mask = HALF_FOREGROUND.clone().requires_grad_()
    diversity(row([0, 2, 5, 9], [0] * 4, [0] * 4), mask).backward()
    assert mask.grad is not None
    assert mask.grad[0].tolist() == pytest.approx([-48, -24, 12, 60])


def test_objective_rewards_error_and_charges_lambda_times_diversity() -> None:
    """L = E - lambda D; the paper's "min" of E is a misprint, and there is no lambda / 2.

    The picture is the one above: E = 4 + 2, and D = 16 + 16 + 0 + 0 for each of three colours.
    """
    image = row(*[[0, 8, 2, 2]] * 3)
    settings = IEMSettings(kernel_px=1, diversity_weight=0.1)
    assert objective(image, HALF_FOREGROUND, settings).item() == pytest.approx(6 - 0.1 * 96)


def test_a_constant_added_to_a_colour_changes_nothing() -> None:
    """What allows the engines to centre pictures on their most common value."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 12, 9, generator=generator, dtype=torch.float64)
    mask = (torch.rand(12, 9, generator=generator) > 0.5).double()
    shift = torch.tensor([1.0, -3.0, 0.5], dtype=torch.float64)[:, None, None]
    before, after = (objective(x, mask, IEMSettings()) for x in (image, image + shift))
    assert before.item() == pytest.approx(after.item(), abs=1e-12)


def test_centred_subtracts_the_most_common_value_of_each_colour() -> None:
    """Red 7 7 9, green 0 0 255, blue 1 2 3 (the smallest of three equals); no wrap at 8 bits."""
    image = np.array([[[7, 0, 1], [7, 0, 2], [9, 255, 3]]], dtype=np.uint8)
    assert centred(image).tolist() == [[[0, 0, 0], [0, 0, 1], [2, 255, 2]]]
    assert centred(255 - image)[0, 2].tolist() == [-2, -255, 0]
