"""Prediction in plain torch, and the formats that training shares with it.

B = images, K = those of one pass, H, W = pixels.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.settings import Precision, SegNetSettings
from iem_batch.segnet.weights import load_weights


def scale_pixels(image_BHW3: Tensor) -> Tensor:
    """Turn uint8 RGB into what the network takes: float32 (B, 3, H, W) in [-1, 1]."""
    return image_BHW3.permute(0, 3, 1, 2).float() / 127.5 - 1


def open_network(data: bytes, settings: SegNetSettings, name: str) -> nn.Module:
    """Load a trained network for a step, on the GPU where there is one.

    Args:
        data: the file of weights.
        settings: the network they must be of.
        name: of the file, for messages.

    Raises:
        StorageError: the file is damaged.
        SettingsError: the weights are of another network.
    """
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return load_weights(data, settings, name).to(device)


def predict_probability(
    model: nn.Module,
    image_BHW3: NDArray[np.uint8],
    *,
    precision: Precision = "auto",
    images_per_pass: int = 16,
    num_threads: int = 1,
) -> NDArray[np.float32]:
    """Predict how probably each pixel is foreground.

    Args:
        model: a trained network, on any device.
        image_BHW3: uint8 RGB; B may be 0.
        precision: number format of the convolutions.
        images_per_pass: bounds the memory.
        num_threads: passes at once on a CPU. Each has one thread of its own, because how many
            threads share a convolution changes the last bits of its result.

    Returns:
        probability_BHW: in [0, 1].
    """
    device = next(model.parameters()).device
    probability_BHW = np.empty(image_BHW3.shape[:3], dtype=np.float32)
    model.eval()

    def predict(start: int) -> None:
        part = slice(start, start + images_per_pass)
        with torch.inference_mode(), working_format(precision, device):
            image_K3HW = scale_pixels(torch.tensor(image_BHW3[part], device=device))
            probability_BHW[part] = model(image_K3HW)[:, 0].float().sigmoid().cpu().numpy()

    starts = range(0, len(image_BHW3), images_per_pass)
    with (
        _one_thread_for_a_pass(),
        ThreadPoolExecutor(num_threads if device.type == "cpu" else 1) as pool,
    ):
        list(pool.map(predict, starts))
    return probability_BHW


@contextmanager
def _one_thread_for_a_pass() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def working_format(precision: Precision, device: torch.device) -> torch.autocast:
    """Run convolutions in the wanted number format in the block."""
    bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether bf16 is faster than fp32: NVIDIA from sm_80 on, CPUs with AMX or avx512_bf16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # Every CPU with AMX has avx512_bf16 as well; torch 2.5 tells only by this private name.
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
