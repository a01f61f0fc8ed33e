import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import predict_probability
from iem_batch.segnet.settings import SegNetSettings


@pytest.mark.parametrize("num_images", [0, 1, 5])
def test_threads_change_no_bit(num_images: int) -> None:
    """Catches predictions that differ between a laptop and a cluster's worker of one thread."""
    torch.manual_seed(0)
    model = SegNet(SegNetSettings(width=4, num_blocks=1))
    rng = np.random.default_rng(0)
    image_BHW3 = rng.integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    before = torch.get_num_threads()
    alone = predict_probability(model, image_BHW3, images_per_pass=2)
    several = predict_probability(model, image_BHW3, images_per_pass=2, num_threads=3)
    assert alone.tobytes() == several.tobytes()
    assert alone.shape == (num_images, 32, 32)
    assert torch.get_num_threads() == before


class _Column(nn.Module):
    """Logit of a pixel: its red value in [-1, 1] plus its column."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.weight * (image_B3HW[:, :1] + torch.arange(image_B3HW.shape[3]))


def test_flips_by_hand() -> None:
    """One row of black, black, white: logits -1, 0, 3; mirrored white, black, black: 1, 0, 1, which
    are of the columns 2, 1, 0. Catches a mean of logits, and a mirror image not mirrored back."""
    image_BHW3 = np.zeros((1, 1, 3, 3), np.uint8)
    image_BHW3[:, :, 2] = 255
    logits = np.array([[-1.0, 0.0, 3.0], [1.0, 0.0, 1.0]])
    expected = (1 / (1 + np.exp(-logits))).mean(axis=0)
    probability_BHW = predict_probability(_Column(), image_BHW3, flips=True, precision="fp32")
    np.testing.assert_allclose(probability_BHW[0, 0], expected, atol=1e-6)


def test_flips_make_the_mask_of_the_mirror_image_the_mirror_image_of_the_mask() -> None:
    torch.manual_seed(0)
    model = SegNet(SegNetSettings(width=4, num_blocks=1))
    image_BHW3 = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    of_image = predict_probability(model, image_BHW3, flips=True)
    of_mirror = predict_probability(model, image_BHW3[:, :, ::-1].copy(), flips=True)
    assert np.array_equal(of_image, of_mirror[:, :, ::-1])
