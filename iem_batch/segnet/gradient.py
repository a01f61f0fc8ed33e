"""The gradient of one pass: a few images of a batch, forward and backward.

N = images of one worker in one batch, K = those of one pass, H, W = pixels.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iem_batch.segnet.augment import augment
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.prediction import scale_pixels, working_format
from iem_batch.segnet.settings import TrainSettings


class Tally(NamedTuple):
    """Sums over pixels."""

    loss: float
    """Binary cross-entropy in nats."""

    both: float
    """Pixels that are foreground as predicted and as given."""

    either: float
    """Those that are in one of the two."""

    predicted: float
    """Those predicted foreground; the last, on which training looks while it goes on."""


def add_gradient(
    model: nn.Module, batch: Batch, part: slice, settings: TrainSettings, epoch: int
) -> Tensor:
    """Add the gradient of a pass to the gradients of the model's parameters.

    It is that of the sum of the binary cross-entropy, divided by the pixels of the whole batch.

    Args:
        model: images to logits; trained here.
        batch: what the pass is of.
        part: which of its N images.
        settings: how they are changed.
        epoch: counted from 0.

    Returns:
        The sums of `Tally`, float64, on the model's device.
    """
    device = next(model.parameters()).device
    image_K3HW, target_K1HW = augment(
        scale_pixels(batch.image_NHW3[part].to(device)),
        batch.mask_NHW[part].to(device).float().unsqueeze(1),
        batch.row_N[part],
        settings,
        epoch,
    )
    with working_format(settings.precision, device):
        logit_K1HW = model(image_K3HW).float()
    loss = F.binary_cross_entropy_with_logits(logit_K1HW, target_K1HW, reduction="sum")
    (loss / batch.num_pixels).backward()  # type: ignore[no-untyped-call]
    predicted, given = logit_K1HW.detach() > 0, target_K1HW > 0.5
    counts = [(predicted & given).sum(), (predicted | given).sum(), predicted.sum()]
    return torch.stack([loss.detach(), *counts]).double()
