"""What `benchmarks.gpu` measures: the engine on this machine's card, or on the tests' emulator."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.iem import cuda_backend
from iem_batch.iem.cuda import driver
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is measured, and on how much."""

    segment: Callable[[Images, Masks, IEMSettings], IEMResult]
    """The engine `cuda`."""

    device: str
    """Of torch."""

    name: str
    architecture: int
    multiprocessors: int
    batches: tuple[int, ...] = (132, 512, 1024, 4096)
    torch_images: int = 512
    autograd_images: int = 64
    settings: IEMSettings = IEMSettings(colors="rgb", diversity_weight=0.001)


def on_the_card() -> Program:
    """Take the card, or end with why there is none."""
    reason = cuda_backend.unavailable()
    if reason is None and not torch.cuda.is_available():
        reason = "torch was built without CUDA, and the comparison needs it"
    if reason is not None:
        sys.exit(f"benchmarks.gpu needs an NVIDIA GPU: {reason}")
    card = driver.open_device()
    return Program(
        segment=cuda_backend.segment,
        device="cuda",
        name=card.name,
        architecture=card.architecture,
        multiprocessors=card.multiprocessors,
    )


def emulated() -> Program:
    """Take the tests' emulator for the card."""
    from tests.iem.cuda.emulation import emulate

    return Program(
        segment=emulate,
        device="cpu",
        name="emulator",
        architecture=90,
        multiprocessors=1,
        batches=(2,),
        torch_images=2,
        autograd_images=1,
        settings=IEMSettings(colors="rgb", diversity_weight=0.001, iterations=10),
    )
