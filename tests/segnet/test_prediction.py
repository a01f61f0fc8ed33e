import numpy as np
import pytest
import torch

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
