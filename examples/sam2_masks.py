"""Masks by SAM 2's automatic generator: of all it finds in a photo, the largest inner one.

    PYTHONPATH=examples iem-batch segment photos run --engine sam2_masks:Sam2Masks \
        --segment.engine_args '{"config": "configs/sam2.1/sam2.1_hiera_s.yaml",
                                "checkpoint": "sam2.1_hiera_small.pt", "device": "cuda"}'

Needs SAM 2 and its weights. It was not run here: only what it gives of what SAM 2 finds is tested.
"""

import numpy as np


class Sam2Masks:
    """One mask for each image.

    Args:
        config: SAM 2's, of the network.
        checkpoint: its weights.
        device: of torch.
    """

    deterministic = False
    size_px = 1024
    batch_size = 1

    def __init__(self, config, checkpoint, device="cpu"):
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
        from sam2.build_sam import build_sam2

        self.generator = SAM2AutomaticMaskGenerator(build_sam2(config, checkpoint, device=device))

    def __call__(self, image):
        """Give the mask of a uint8 RGB image (1, S, S, 3)."""
        return np.stack([largest_inner(self.generator.generate(each), each) for each in image])


def largest_inner(found, image):
    """Choose the largest mask with less of the frame than of the image; an empty one if none is."""
    frame = np.ones(image.shape[:2], bool)
    frame[1:-1, 1:-1] = False
    masks = [each["segmentation"] for each in found]
    inner = [mask for mask in masks if mask[frame].mean() < mask.mean()]
    return max(inner, key=np.sum, default=~np.ones(image.shape[:2], bool))
