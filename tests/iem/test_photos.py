"""The torch engine on real photographs: the same masks as float64 autograd."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iem_batch.iem import reference
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_backend import segment_on


@pytest.mark.parametrize("name", ["flowers17", "people", "cars"])
def test_photographs_give_the_references_masks(photos: Path, name: str) -> None:
    """The paper's size and first mask; 20 iterations, when most pixels still move."""
    files = sorted((photos / name / "images").iterdir())[:3]
    images = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for file in files]
    )
    first_mask = np.broadcast_to(centred_squares(128, 128, [78]), (3, 1, 128, 128))
    settings = IEMSettings(iterations=20)
    expected = reference.segment(images, first_mask, settings)
    result = segment_on(torch.device("cpu"), images, first_mask, settings)
    assert np.array_equal(result.mask_BSHW, expected.mask_BSHW)
    np.testing.assert_allclose(result.error_BS, expected.error_BS, rtol=0, atol=1e-12)
