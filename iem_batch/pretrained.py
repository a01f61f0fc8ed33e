r"""A network in SegNet's place that learns from the features of one that others have trained.

    iem-batch run PHOTOS RUN --segnet.backbone iem_batch.pretrained:Features \
        --segnet.backbone_args '{"folder": "hf://facebook/dinov2-small", "scale": 1.75}'

The folder is one that Hugging Face transformers writes, on any storage or, as hf://OWNER/NAME, on
its hub: config.json and model.safetensors, of any network that its AutoBackbone knows. Every
machine that trains or predicts reads it.

Look up under which licence its weights are, and from which photographs and labels they come: masks
made with weights that had labels are no longer made without any.

B = images, C = channels, H, W = pixels, h, w = places of a feature map.
"""

import importlib
import json
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iem_batch.errors import SettingsError
from iem_batch.storage.folder import Folder

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Features(nn.Module):
    """A backbone and a light head: 1x1 convolutions on its feature maps, added up, ReLU, and one.

    Args:
        folder: where the backbone is, see above.
        frozen: whether it stays as it is, so that only the head learns.
        scale: what the image is enlarged by for the backbone; with 14/8 a vision transformer whose
            patches have 14 pixels gives a feature for every 8 pixels of the image.
        width: channels of the head.

    Raises:
        SettingsError: the folder lacks a file, or transformers is not installed.
        StorageError: the folder cannot be read.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, folder: str, frozen: bool = True, scale: float = 1.0, width: int = 128
    ) -> None:
        super().__init__()
        self.frozen, self.scale = frozen, scale
        with _local_copy(folder) as files:
            self.backbone = _backbone(files)
            mean, std = _normalisation(files)
        self.patch_px = int(getattr(self.backbone.config, "patch_size", 1))
        self.backbone.requires_grad_(not frozen)
        self.lateral = nn.ModuleList(nn.Conv2d(c, width, 1) for c in self.backbone.channels)
        self.head = nn.Conv2d(width, 1, 1)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def train(self, mode: bool = True) -> "Features":
        """Switch as any module does; a frozen backbone predicts all the time."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Compute the logits.

        Args:
            image_B3HW: float in [-1, 1].

        Returns:
            logit_B1HW: float32.
        """
        size = image_B3HW.shape[2:]
        image = ((image_B3HW + 1) / 2 - self.mean) / self.std
        image = F.interpolate(image, self._input_size(size), mode="bilinear", antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            maps = self.backbone(image).feature_maps
        sum_BChw = self.lateral[0](maps[0])  # the first map is the finest
        for conv, map_BChw in zip(self.lateral[1:], maps[1:], strict=True):
            coarser = F.interpolate(conv(map_BChw), sum_BChw.shape[2:], mode="bilinear")
            sum_BChw = sum_BChw + coarser
        logit_B1hw = self.head(F.relu(sum_BChw))
        logit_B1HW: Tensor = F.interpolate(logit_B1hw.float(), size, mode="bilinear")
        return logit_B1HW

    def _input_size(self, size: torch.Size) -> list[int]:
        """Enlarge, and make whole patches, so that none at the border is left out."""
        return [math.ceil(side * self.scale / self.patch_px) * self.patch_px for side in size]


@contextmanager
def _local_copy(url: str) -> Iterator[Path]:
    """Put the files where transformers reads them; nothing else of the folder is taken."""
    scheme, _, name = url.rpartition("://")
    if scheme == "hf":
        from huggingface_hub import snapshot_download

        yield Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS, PREPROCESSOR]))
        return
    folder = Folder(url)
    with tempfile.TemporaryDirectory(prefix="iem_batch_") as place:
        for name in (CONFIG, WEIGHTS, PREPROCESSOR):
            try:
                data = folder.read_bytes(name)
            except FileNotFoundError as error:
                if name == PREPROCESSOR:
                    continue
                raise SettingsError(
                    f"{folder.url} has no {name}; it must be a folder that save_pretrained of "
                    "transformers has written, with weights as safetensors"
                ) from error
            (Path(place) / name).write_bytes(data)
        yield Path(place)


def _backbone(files: Path) -> Any:
    """Load the network: of a pyramid every level, of a vision transformer its last layer."""
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise SettingsError(f"transformers cannot be imported: {error}") from error
    config = transformers.AutoConfig.from_pretrained(files)
    levels = len(getattr(config, "depths", ())) or 1
    config.out_indices = list(range(-levels, 0))
    # Its class alone: AutoBackbone's own from_pretrained asks the hub, also for a local folder.
    kind = type(transformers.AutoBackbone.from_config(config))
    return kind.from_pretrained(files, config=config, use_safetensors=True)


def _normalisation(files: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read what images are normalised by, or take ImageNet's."""
    if not (files / PREPROCESSOR).exists():
        return IMAGENET_MEAN, IMAGENET_STD
    found = json.loads((files / PREPROCESSOR).read_text())
    mean, std = found.get("image_mean", IMAGENET_MEAN), found.get("image_std", IMAGENET_STD)
    return tuple(mean), tuple(std)
