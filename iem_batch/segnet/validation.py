"""How well a network agrees with labels that it has not learned.

N = images, K = those of one pass, H, W = pixels.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iem_batch.segnet.prediction import scale_pixels, working_format
from iem_batch.segnet.settings import TrainSettings

Labelled = tuple[Tensor, Tensor]
"""image_NHW3, uint8 RGB, and mask_NHW, bool, True is foreground."""


class Agreement(NamedTuple):
    """A network against labels, over all their pixels together."""

    loss: float
    """Binary cross-entropy in nats, mean over pixels."""
    iou: float
    """IoU of predicted and given foreground; 1 where both are empty."""


def validate(
    network: nn.Module,
    labelled: Iterable[Labelled],
    settings: TrainSettings,
    sum_over_workers: Callable[[Tensor], object] | None = None,
) -> Agreement | None:
    """Compare the masks of a network with labels; nothing is changed by chance, nothing learned.

    Args:
        network: images to logits; is left in evaluation mode.
        labelled: this worker's share of them.
        settings: the number format, and how many images make a pass.
        sum_over_workers: needed when there are several.

    Returns:
        The same for every worker; None where no worker has a label.
    """
    device = next(network.parameters()).device
    # Loss, pixels in both foregrounds, those in either, all pixels.
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    network.eval()
    with torch.inference_mode():
        for image_NHW3, mask_NHW in labelled:
            for start in range(0, len(image_NHW3), settings.images_per_pass):
                part = slice(start, start + settings.images_per_pass)
                image_KHW3, mask_KHW = image_NHW3[part].to(device), mask_NHW[part].to(device)
                sums += _compare(network, image_KHW3, mask_KHW, settings)
    if sum_over_workers:
        sum_over_workers(sums)
    loss, both, either, pixels = sums.tolist()
    if not pixels:
        return None
    return Agreement(loss=loss / pixels, iou=both / either if either else 1.0)


def _compare(
    network: nn.Module, image_KHW3: Tensor, mask_KHW: Tensor, settings: TrainSettings
) -> Tensor:
    with working_format(settings.precision, image_KHW3.device):
        logit_KHW = network(scale_pixels(image_KHW3))[:, 0].float()
    loss = F.binary_cross_entropy_with_logits(logit_KHW, mask_KHW.float(), reduction="sum")
    predicted_KHW = logit_KHW > 0
    counts = [(predicted_KHW & mask_KHW).sum(), (predicted_KHW | mask_KHW).sum()]
    pixels = torch.tensor(mask_KHW.numel(), device=mask_KHW.device)
    return torch.stack([loss, *counts, pixels]).double()
