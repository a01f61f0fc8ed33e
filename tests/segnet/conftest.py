from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.pictures import textured_disc


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors: more threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def discs() -> tuple[Tensor, Tensor]:
    """Seven pictures of 32 x 40 pixels and their masks: an odd number, a side not square."""
    pictures = [textured_disc(seed, 32, 40) for seed in range(7)]
    image_BHW3 = torch.from_numpy(np.stack([picture.image for picture in pictures]))
    return image_BHW3, torch.from_numpy(np.stack([picture.mask for picture in pictures]))
