"""The network: a variant of PSPNet, after the mask network of ReDO (arXiv 1905.13539).

B = images, C = channels, H, W = pixels. Where the paper names no detail:

- the pyramid's 1x1 convolutions have neither normalisation nor ReLU: over a single bin
  InstanceNorm is undefined, and over four it would leave little but signs;
- a residual block is ReLU(norm(x + conv(ReLU(norm(conv(x)))))), so that every convolution is
  followed by a normalisation, and convolutions that are have no bias, which it would cancel;
- the two convolutions that raise the resolution have 1/2 and 1/4 of the width, like those that
  lower it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iem_batch.errors import SettingsError
from iem_batch.segnet.norm import InstanceNormReLU
from iem_batch.segnet.settings import SegNetSettings

PYRAMID_BINS = (1, 2, 3, 6)
MIN_SIDE_PX = 8
"""Below, a reflection does not fit, or InstanceNorm sees a single pixel."""


class SegNet(nn.Module):
    """RGB images to one logit per pixel; above 0 is foreground.

    Args:
        settings: the shape of the network.
    """

    def __init__(self, settings: SegNetSettings) -> None:
        super().__init__()
        width, half, quarter = settings.width, settings.width // 2, settings.width // 4
        self.reduce = nn.Sequential(
            _conv_block(3, quarter, kernel=7, padding=0),
            _conv_block(quarter, half, stride=2),
            _conv_block(half, width, stride=2),
        )
        self.blocks = nn.Sequential(*(_ResidualBlock(width) for _ in range(settings.num_blocks)))
        self.pyramid = _Pyramid(width)
        self.enlarge = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            _conv_block(width + len(PYRAMID_BINS), half),
            nn.Upsample(scale_factor=2, mode="nearest"),
            _conv_block(half, quarter),
        )
        self.head = nn.Conv2d(quarter, 1, 7)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            image_B3HW: float in [-1, 1], sides of `MIN_SIDE_PX` or more, any ratio.

        Returns:
            logit_B1HW: of the input's size and the working number format.

        Raises:
            SettingsError: the image is too small.
        """
        height, width = image_B3HW.shape[2:]
        if min(height, width) < MIN_SIDE_PX:
            raise SettingsError(
                f"SegNet cannot take images of {height} x {width} pixels; "
                f"each side must be at least {MIN_SIDE_PX}"
            )
        # Convolutions keep this layout, in which they are several times as fast on a CPU.
        image_B3HW = image_B3HW.contiguous(memory_format=torch.channels_last)
        features = self.enlarge(self.pyramid(self.blocks(self.reduce(_reflect(image_B3HW)))))
        # A quarter of the side is rounded up, so what comes back is 0 to 3 pixels too large.
        logit_B1HW: Tensor = self.head(_reflect(features[:, :, :height, :width]))
        return logit_B1HW


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _conv_block(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = InstanceNormReLU(width)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        sum_BCHW: Tensor = self.norm(features_BCHW + self.second(self.first(features_BCHW)))
        return sum_BCHW


class _Pyramid(nn.Module):
    """Appends one channel for each number of bins: the map averaged over bins x bins fields."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in PYRAMID_BINS)

    def forward(self, features_BCHW: Tensor) -> Tensor:
        size = features_BCHW.shape[2:]
        levels = [
            F.interpolate(conv(F.adaptive_avg_pool2d(features_BCHW, bins)), size, mode="bilinear")
            for bins, conv in zip(PYRAMID_BINS, self.convs, strict=True)
        ]
        # Without this, autocast's float32 and the layout of the levels would spread to all.
        appended = torch.cat(levels, 1).to(features_BCHW.dtype, memory_format=torch.channels_last)
        return torch.cat([features_BCHW, appended], 1)


def _conv_block(
    channels_in: int, channels_out: int, *, kernel: int = 3, stride: int = 1, padding: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
    return nn.Sequential(conv, InstanceNormReLU(channels_out))


def _reflect(features_BCHW: Tensor) -> Tensor:
    """Pad for a 7x7 convolution by reflection at the border, in the number format given."""
    with torch.autocast(features_BCHW.device.type, enabled=False):
        return F.pad(features_BCHW, (3, 3, 3, 3), mode="reflect")
