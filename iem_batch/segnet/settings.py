"""The settings of SegNet and its training.

The network is the paper's at half its width. Width and recipe were chosen by the IoU on photographs
of flowers and people (`benchmarks/recipes.py`); the paper's are in `iem_batch.config.PAPER`.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from iem_batch.errors import SettingsError

Precision = Literal["auto", "fp32", "bf16"]
"""Number format of the convolutions; weights, loss and optimizer are always float32."""


LANES = 64
"""Parts a window of the corpus is shared out in, so the most workers there can be."""


@dataclass(frozen=True, kw_only=True)
class SegNetSettings:
    """The shape of the network."""

    width: int = 64
    """Channels of the residual blocks, 128 in the paper (its nf); the outer layers have 1/2 and 1/4
    of it."""

    num_blocks: int = 3
    """Residual blocks at a quarter of the image's resolution."""

    backbone: str | None = None
    """Another network in SegNet's place, "package.module:Class": a torch module that turns images
    (B, 3, H, W) in [-1, 1] into logits (B, 1, H, W), float32, installed on every worker."""

    backbone_args: dict[str, Any] = field(default_factory=dict)
    """What the class of the other network is called with."""

    def __post_init__(self) -> None:
        if self.width < 4 or self.width % 4:
            raise SettingsError(
                f"segnet.width is {self.width}; it must be a multiple of 4, at least 4"
            )
        if self.num_blocks < 0:
            raise SettingsError(f"segnet.num_blocks is {self.num_blocks}; it must be 0 or above")
        if self.backbone_args and self.backbone is None:
            raise SettingsError("segnet.backbone_args is for the class that segnet.backbone names")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the network is trained: Adam at a constant rate on the mean cross-entropy per pixel."""

    epochs: int | Literal["auto"] = "auto"
    """Passes over the corpus; the paper makes 50. auto makes 4, since many more learn the labels'
    errors, and more than that of a corpus so small that 4 are less than 225 optimizer steps."""

    batch_size: int = 16
    """Most images in one optimizer step, over all workers. An epoch is cut into the fewest such
    batches, of nearly one size, so no step is made on a remnant and no image is left out. The
    paper has 128; with several workers give each of them 16 or more to work on."""

    learning_rate: float = 1e-3
    """Step size of Adam."""

    horizontal_flips: bool = True
    """Whether each image is mirrored with probability 1/2 in each epoch; the paper does not."""

    random_crops: float = 0.25
    """Each image is seen in each epoch as a crop at random of at least 1 minus this of its sides,
    brought back to its size; 0 is the whole image, as in the paper."""

    color_jitter: float = 0.2
    """In each epoch each colour channel of an image is scaled by up to 1 plus or minus this and
    shifted by up to this share of half its range, at random; 0 leaves it, as the paper does."""

    average_decay: float = 0.995
    """Share that the running mean of the weights keeps at each step; the mean is the result.
    0 makes the last weights the result, as in the paper."""

    seed: int = 0
    """Decides the first weights, and with the epoch the order, flips, crops and colours."""

    num_workers: int = 1
    """Processes that share each batch; more of them change the result by rounding alone."""

    min_workers: int | None = None
    """Fewest workers to go on with where nodes are lost; null waits for all of them."""

    shuffle_images: int = 65_536
    """Images that are mixed with one another, over all workers: an epoch takes the corpus in
    windows of at most so many rows, in a new order each, and uses up one before the next."""

    cache_mb: int = 16_384
    """Most disk that a worker takes, in the folder for temporary files, for the decoded images of
    its share. Windows that fit are read once, others again in each epoch."""

    precision: Precision = "auto"
    """fp32, bf16, or auto for bf16 where the processor multiplies bf16 faster than fp32."""

    images_per_pass: int = 16
    """Most images in one forward and backward pass of a worker; bounds its memory."""

    checkpoint_every_epochs: int = 1
    """Epochs between the points an interrupted training can resume from."""

    def __post_init__(self) -> None:
        if self.epochs != "auto" and self.epochs < 1:
            raise SettingsError(f"train.epochs is {self.epochs}; it must be auto or at least 1")
        for name in (
            "batch_size",
            "num_workers",
            "images_per_pass",
            "checkpoint_every_epochs",
            "shuffle_images",
            "cache_mb",
        ):
            if getattr(self, name) < 1:
                raise SettingsError(f"train.{name} is {getattr(self, name)}; it must be at least 1")
        if self.num_workers > LANES:
            raise SettingsError(
                f"train.num_workers is {self.num_workers}; at most {LANES} can share a batch"
            )
        if self.min_workers is not None and not 1 <= self.min_workers <= self.num_workers:
            raise SettingsError(
                f"train.min_workers is {self.min_workers}; it must be null, or 1 to "
                f"train.num_workers, which is {self.num_workers}"
            )
        if self.seed < 0:
            raise SettingsError(f"train.seed is {self.seed}; it must be 0 or above")
        if not 0 < self.learning_rate < float("inf"):
            raise SettingsError(
                f"train.learning_rate is {self.learning_rate}; it must be above 0 and finite"
            )
        for name in ("average_decay", "random_crops", "color_jitter"):
            if not 0 <= getattr(self, name) < 1:
                raise SettingsError(
                    f"train.{name} is {getattr(self, name)}; it must be at least 0 and below 1"
                )
        if self.precision not in get_args(Precision):
            raise SettingsError(
                f"train.precision is {self.precision!r}; "
                f"it must be one of {', '.join(get_args(Precision))}"
            )
