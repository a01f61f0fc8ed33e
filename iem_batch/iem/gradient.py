"""The gradient of the objective by hand, for a batch of images; any float dtype, any device.

Both sides of a mask are blurred, each from its own pixels. The blur of the complement could be
had by subtraction; but where a window holds nothing of that side, or one corner tap of 2e-5, a
rounding error of 1e-7 would take its place, beside denominators of 1e-4: 4 to 12 % of the final
masks of photographs come out otherwise.

B = images, H = rows, W = columns, 2 = the sides (foreground, background), 3 = colours, 4 = colours
and ones. See `iem_batch.iem.blur` for the order of the axes. Colours are differences of 8-bit
values (`UNIT` of them make 1 in the objective): whole numbers, exact in float32, and so are their
products with masks and the sums of these.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from iem_batch.iem.blur import Blur, apply_blur
from iem_batch.iem.objective import MEAN_WEIGHT

UNIT = 127.5
"""Differences of 8-bit values in one unit of the objective's [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Inpainting:
    """Every pixel predicted from either side of a mask."""

    colour_BH23W: Tensor
    """The predictions psi, from the foreground and from the background."""

    weight_BH21W: Tensor
    """Their denominators."""

    distance_BH2W: Tensor
    """Distance of each prediction to the pixel, summed over colours."""

    total_B24: Tensor
    """Sums over each side: of its colours, and its area."""

    @property
    def area_B2(self) -> Tensor:
        """Pixels of each side."""
        return self.total_B24[..., 3]


def inpaint_sides(image_BH4W: Tensor, mask_BH1W: Tensor, blur: Blur) -> Inpainting:
    """Predict every pixel from either side (Eq. 7); both sides of each mask hold a pixel."""
    num_images, height, _, width = image_BH4W.shape
    side_BH24W = image_BH4W.new_empty((num_images, height, 2, 4, width))
    torch.mul(image_BH4W, mask_BH1W, out=side_BH24W[:, :, 0])
    torch.sub(image_BH4W, side_BH24W[:, :, 0], out=side_BH24W[:, :, 1])
    total_B24 = side_BH24W.sum(dim=1).sum(dim=-1)
    blurred_BH8W = apply_blur(side_BH24W.flatten(2, 3), blur)
    blurred_BH24W = blurred_BH8W.view_as(side_BH24W)
    blurred_BH24W += MEAN_WEIGHT * total_B24[:, None, :, :, None]
    weight_BH21W = blurred_BH24W[:, :, :, 3:]
    colour_BH23W = blurred_BH24W[:, :, :, :3] / weight_BH21W
    distance_BH23W = (colour_BH23W - image_BH4W[:, :, None, :3]).abs_()
    return Inpainting(
        colour_BH23W=colour_BH23W,
        weight_BH21W=weight_BH21W,
        distance_BH2W=distance_BH23W.sum(dim=3),
        total_B24=total_B24,
    )


def error_terms(inpainting: Inpainting, mask_BH1W: Tensor) -> Tensor:
    """Return the two terms of E (Eq. 8): error_B2, of the foreground and of the background."""
    from_foreground_BHW, from_background_BHW = inpainting.distance_BH2W.unbind(dim=2)
    mask_BHW = mask_BH1W[:, :, 0]
    sum_B2 = torch.stack(
        [
            (from_background_BHW * mask_BHW).sum(dim=(1, 2)),
            (from_foreground_BHW * (1 - mask_BHW)).sum(dim=(1, 2)),
        ],
        dim=1,
    )
    return sum_B2 / (3 * UNIT * inpainting.area_B2)


def objective_gradient(
    image_BH4W: Tensor, mask_BH1W: Tensor, blur: Blur, diversity_weight: float
) -> Tensor:
    """Differentiate L = E - lambda D with respect to the mask.

    Args:
        image_BH4W: the colours less any constant, then ones.
        mask_BH1W: 0 and 1, both in each mask.
        blur: G, of the same dtype and device.
        diversity_weight: lambda.

    Returns:
        gradient_BHW: exactly 0 where all terms are.
    """
    inpainting = inpaint_sides(image_BH4W, mask_BH1W, blur)
    error_B2, area_B2 = error_terms(inpainting, mask_BH1W), inpainting.area_B2
    share_B2 = 1 / (3 * UNIT * area_B2)

    # E through the two predictions. A pixel is scored on the one made from the other side.
    # lerp picks either end exactly, and on a CPU several times faster than where.
    def scored(field_BH2CW: Tensor) -> Tensor:
        return torch.lerp(field_BH2CW[:, :, 0], field_BH2CW[:, :, 1], mask_BH1W)

    share_foreground_B111, share_background_B111 = share_B2[:, :, None, None, None].unbind(dim=1)
    scale_BH1W = torch.lerp(share_background_B111, -share_foreground_B111, mask_BH1W)
    scale_BH1W /= scored(inpainting.weight_BH21W)
    colour_BH3W = scored(inpainting.colour_BH23W)
    adjoint_BH4W = torch.empty_like(image_BH4W)
    sign_BH3W = (colour_BH3W - image_BH4W[:, :, :3]).sign_()
    torch.mul(sign_BH3W, scale_BH1W, out=adjoint_BH4W[:, :, :3])
    colour_BH3W *= adjoint_BH4W[:, :, :3]
    adjoint_BH4W[:, :, 3] = -colour_BH3W.sum(dim=2)
    coefficient_BH4W = apply_blur(adjoint_BH4W, blur)

    # The mean colours, and what D and the areas in E make of a pixel whatever its colour.
    weight = diversity_weight / UNIT**2
    mean_B23 = inpainting.total_B24[..., :3] / area_B2[..., None]
    constant_B4 = MEAN_WEIGHT * adjoint_BH4W.sum(dim=1).sum(dim=-1)
    constant_B4[:, :3] += 2 * weight * (mean_B23[:, 0] - mean_B23[:, 1])
    offset_B2 = error_B2 / area_B2 + weight * mean_B23.square().sum(dim=2)
    constant_B4[:, 3] += offset_B2[:, 1] - offset_B2[:, 0]
    coefficient_BH4W += constant_B4[:, None, :, None]

    # E through the score of each pixel.
    from_foreground_BHW, from_background_BHW = inpainting.distance_BH2W.unbind(dim=2)
    gradient_BHW = (coefficient_BH4W * image_BH4W).sum(dim=2)
    gradient_BHW.addcmul_(from_background_BHW, share_B2[:, :1, None])
    gradient_BHW.addcmul_(from_foreground_BHW, share_B2[:, 1:, None], value=-1)
    return gradient_BHW
