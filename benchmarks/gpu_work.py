"""What the kernel has to do on real photographs, counted, and what a card could do.

Operations are those of the source, counted by hand for each kind of pixel (see NOTES.md of the
kernel); the pixels are counted on the masks of the photographs, 128 x 128, first mask 78.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from iem_batch.iem.batch import image_planes
from iem_batch.iem.blur import make_blur
from iem_batch.iem.cuda.driver import Device, ask_device
from iem_batch.iem.dynamics import advance, boundary, smooth
from iem_batch.iem.gradient import objective_gradient
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings

ITERATIONS = 64
"""The mean until a mask recurs is 64."""

RADIUS_PX = 10
STRIP_ROWS = 8
WINDOW = (2 * RADIUS_PX + 1) ** 2
FLOAT64_LANES = {80: 32, 90: 64, 100: 64}
"""Fused float64 multiply-adds per clock and SM; other architectures have 2."""

FLOAT32_LANES = 128


@dataclass(frozen=True, kw_only=True)
class Work:
    """Means per image and iteration."""

    pixels: float
    present: float
    """Pixels whose window holds the other side."""

    undecided: float
    """Boundary pixels that the vote does not overrule."""

    flips: float
    affected: float
    """Pixels with a flip in their window."""

    strip_columns: float
    """Columns of 8 rows that the vertical adjoint blur is wanted for."""

    @property
    def float32(self) -> float:
        """Instructions of float32."""
        rows = STRIP_ROWS + 2 * RADIUS_PX
        spread = self.strip_columns * rows * (STRIP_ROWS * 4 + 8)
        return spread + self.undecided * (2 * RADIUS_PX + 1) * 5 + self.pixels * 36

    @property
    def float64(self) -> float:
        """Instructions of float64, conversions left out."""
        return self.pixels * 14 + self.flips * WINDOW * 8 + 2 * WINDOW * 40

    @property
    def global_bytes(self) -> float:
        """Bytes read from and written to L2 or memory."""
        return self.present * 32 + self.pixels * 4 + self.affected * 68 + self.undecided * 64

    @property
    def shared_bytes(self) -> float:
        """Bytes read from and written to shared memory, bit planes left out."""
        rows = STRIP_ROWS + 2 * RADIUS_PX
        spread = self.strip_columns * (rows * 9 + STRIP_ROWS * 16)
        return spread + self.undecided * (2 * RADIUS_PX + 1) * 16 + self.pixels * 18


def _near(mask_BHW: Tensor) -> Tensor:
    """Find the pixels with a set one in their window."""
    size = 2 * RADIUS_PX + 1
    return F.max_pool2d(mask_BHW[:, None].float(), size, 1, RADIUS_PX)[:, 0] > 0


def _undecided(mask_BHW: Tensor, edge_BHW: Tensor) -> Tensor:
    open_BHW = smooth(mask_BHW | edge_BHW) ^ smooth(mask_BHW & ~edge_BHW)
    return edge_BHW & (F.max_pool2d(open_BHW[:, None].float(), 3, 1, 1)[:, 0] > 0)


def _strip_columns(undecided_BHW: Tensor) -> Tensor:
    held = F.max_pool2d(undecided_BHW[:, None].float(), (STRIP_ROWS, 1), ceil_mode=True)
    return F.max_pool2d(held, (1, 2 * RADIUS_PX + 1), 1, (0, RADIUS_PX))


def count_work(image_BHW3: NDArray[np.uint8], device: str = "cuda") -> Work:
    """Count on the first iterations of some images, before masks recur."""
    settings, (height, width) = (
        IEMSettings(colors="rgb", diversity_weight=0.001),
        image_BHW3.shape[1:3],
    )
    image_BH4W = torch.stack([image_planes(image) for image in image_BHW3]).to(device)
    square = torch.from_numpy(centred_squares(height, width, [78 * width // 128])[0]).to(device)
    mask_BHW = square.expand(len(image_BHW3), -1, -1)
    blur = make_blur(height, width, settings, torch.float32, torch.device(device))
    sums = torch.zeros(5, dtype=torch.float64, device=device)
    for _ in range(ITERATIONS):
        edge_BHW = boundary(mask_BHW)
        gradient_BHW = objective_gradient(
            image_BH4W, mask_BHW[:, :, None].float(), blur, settings.diversity_weight
        )
        next_BHW = advance(mask_BHW, gradient_BHW, edge_BHW, settings)
        undecided_BHW, flips_BHW = _undecided(mask_BHW, edge_BHW), next_BHW ^ mask_BHW
        present_BHW = (mask_BHW & _near(~mask_BHW)) | (~mask_BHW & _near(mask_BHW))
        counted = (present_BHW, undecided_BHW, flips_BHW, _near(flips_BHW))
        sums += torch.stack([*(c.sum() for c in counted), _strip_columns(undecided_BHW).sum()])
        mask_BHW = next_BHW
    present, undecided, flips, affected, columns = (sums / (ITERATIONS * len(image_BHW3))).tolist()
    return Work(
        pixels=height * width,
        present=present,
        undecided=undecided,
        flips=flips,
        affected=affected,
        strip_columns=columns,
    )


def share_of_limits(work: Work, images_per_s: float, device: Device) -> dict[str, Any]:
    """Compare a rate with what the card could do if one thing alone were its limit."""
    per_s = images_per_s * ITERATIONS
    clock_hz = 1e3 * ask_device("CLOCK_RATE")
    bus_bytes = ask_device("GLOBAL_MEMORY_BUS_WIDTH") / 8
    memory = 2e3 * ask_device("MEMORY_CLOCK_RATE") * bus_bytes
    sms = device.multiprocessors
    float64_lanes = FLOAT64_LANES.get(device.architecture, 2)
    return {
        "counted per image and iteration": asdict(work)
        | {
            "float32 instructions": work.float32,
            "float64 instructions": work.float64,
            "global bytes": work.global_bytes,
            "shared bytes": work.shared_bytes,
        },
        "share of float32 issue": per_s * work.float32 / (sms * clock_hz * FLOAT32_LANES),
        "share of float64 issue": per_s * work.float64 / (sms * clock_hz * float64_lanes),
        "share of shared memory": per_s * work.shared_bytes / (sms * clock_hz * 128),
        "global bytes over the memory's bandwidth (L2 serves a part)": (
            per_s * work.global_bytes / memory
        ),
    }
