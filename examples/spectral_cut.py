"""Masks by a normalised cut of patch features, as TokenCut and the first cut of MaskCut.

    PYTHONPATH=examples iem-batch segment photos run --engine spectral_cut:SpectralCut \
        --segment.engine_args '{"backbone": "dino_vits8"}'

Needs torch and scipy, and transformers for a folder. B = images, N = patches, C = features.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.linalg import eigh

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


class SpectralCut:
    """Cuts each image in two where its patches are least alike; the side at the frame is behind.

    Args:
        backbone: a folder that transformers can load, or a torch.export file (.pt2) of a network
            from (B, 3, S, S) to features (B, N, C), N a square number, or one more for a token of
            the whole image that comes first.
        size_px: S.
        likeness: cosine from which two patches are alike.
    """

    deterministic = True
    batch_size = 4

    def __init__(self, backbone, size_px=224, likeness=0.2):
        self.size_px, self.likeness = size_px, likeness
        if Path(backbone).is_dir():
            from transformers import AutoModel

            model = AutoModel.from_pretrained(backbone, local_files_only=True).eval()
            self.features = lambda image: model(image).last_hidden_state
        else:
            self.features = torch.export.load(backbone).module()

    def __call__(self, image):
        """Give the masks of uint8 RGB images (B, S, S, 3)."""
        colours = torch.from_numpy((image / np.float32(255) - MEAN) / STD).permute(0, 3, 1, 2)
        with torch.inference_mode():
            features = self.features(colours).double().numpy()
        side = int(features.shape[1] ** 0.5)
        cuts = [self.cut(each[-side * side :]).reshape(side, side) for each in features]
        place = np.arange(self.size_px) * side // self.size_px  # the patch that a pixel lies in
        return np.stack(cuts)[:, place[:, None], place[None, :]]

    def cut(self, features_NC):
        """Give the side of each patch: the second eigenvector of its graph, above its mean."""
        unit_NC = features_NC / np.linalg.norm(features_NC, axis=1, keepdims=True).clip(1e-12)
        weight_NN = np.where(unit_NC @ unit_NC.T > self.likeness, 1.0, 1e-5)
        degree_NN = np.diag(weight_NN.sum(axis=1))
        _, vectors = eigh(degree_NN - weight_NN, degree_NN, subset_by_index=[1, 1])
        is_one_side = vectors[:, 0] > vectors[:, 0].mean()
        side = int(len(is_one_side) ** 0.5)
        frame = np.ones((side, side), bool)
        frame[1:-1, 1:-1] = False
        is_at_frame = is_one_side[frame.ravel()].mean() > is_one_side.mean()
        return ~is_one_side if is_at_frame else is_one_side
