"""Masks by a salient-object network in an ONNX file, such as U2-Net or ISNet.

    PYTHONPATH=examples iem-batch segment photos run --engine onnx_masks:OnnxMasks \
        --segment.engine_args '{"weights": "isnet.onnx", "mean": 0.5, "std": 1.0}'

Needs onnxruntime. The licence of the weights is a question of its own.
"""

import numpy as np
import onnxruntime


class OnnxMasks:
    """Soft masks, stretched to [0, 1] image by image, as these networks are used.

    Args:
        weights: the file.
        mean: of the colours in [0, 1] that the network was trained with; one number or three.
        std: their standard deviation.
        size_px: side of its square, where the file does not say.
        num_threads: of each worker.
    """

    deterministic = True

    def __init__(
        self, weights, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size_px=320,
        num_threads=1,
    ):  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        providers = onnxruntime.get_available_providers()
        self.session = onnxruntime.InferenceSession(weights, options, providers=providers)
        self.input = self.session.get_inputs()[0]
        batch, _, side, _ = self.input.shape  # a number, or the name of what may be any
        self.batch_size = batch if isinstance(batch, int) else 16
        self.size_px = side if isinstance(side, int) else size_px
        self.mean, self.std = np.float32(mean), np.float32(std)

    def __call__(self, image):
        """Give the masks of uint8 RGB images (B, S, S, 3)."""
        colours = (image.astype(np.float32) / 255 - self.mean) / self.std
        given = {self.input.name: np.ascontiguousarray(colours.transpose(0, 3, 1, 2))}
        soft = self.session.run(None, given)[0].reshape(image.shape[:3])
        low, high = (end(axis=(1, 2), keepdims=True) for end in (soft.min, soft.max))
        return np.where(high > low, (soft - low) / np.maximum(high - low, 1e-12), 0)
