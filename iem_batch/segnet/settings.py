"""The settings of SegNet and its training.

The network is the paper's at half its width. Width and recipe were chosen by the IoU on photographs
of flowers and people (`benchmarks/recipes.py`); the paper's are in `iem_batch.config.PAPER`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from iem_batch.checks import Section, above, at_least, finite, multiple_of, share_below_1, within

Precision = Literal["auto", "fp32", "bf16"]
"""Number format of the convolutions; weights, loss and optimizer are always float32."""


LANES = 64
"""Parts a window of the corpus is shared out in, so the most workers there can be."""


@dataclass(frozen=True, kw_only=True)
class SegNetSettings(Section, name="segnet"):
    """The shape of the network."""

    width: Annotated[int, multiple_of(4), at_least(4)] = 64
    """Channels of the residual blocks, 128 in the paper (its nf); the outer layers have 1/2 and 1/4
    of it."""

    num_blocks: Annotated[int, at_least(0)] = 3
    """Residual blocks at a quarter of the image's resolution."""

    backbone: str | None = None
    """Another network in SegNet's place, "package.module:Class": a torch module that turns images
    (B, 3, H, W) in [-1, 1] into logits (B, 1, H, W), float32, installed on every worker."""

    backbone_args: dict[str, Any] = field(default_factory=dict)
    """What the class of the other network is called with."""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = self.backbone is not None or not self.backbone_args
        self.require("backbone_args", named, "empty unless segnet.backbone names a class")


@dataclass(frozen=True, kw_only=True)
class TrainSettings(Section, name="train"):
    """How the network is trained: Adam at a constant rate on the mean cross-entropy per pixel."""

    epochs: Literal["auto"] | Annotated[int, at_least(1)] = "auto"
    """Most passes over the corpus; the paper makes 50. auto makes 4, since many more learn the
    labels' errors, and more of a corpus so small that 4 are less than 450 optimizer steps: up to
    30, or those that 225 steps take."""

    batch_size: Annotated[int, at_least(1)] = 16
    """Most images in one optimizer step, over all workers. An epoch is cut into the fewest such
    batches, of nearly one size, so no step is made on a remnant and no image is left out. The
    paper has 128; with several workers give each of them 16 or more to work on."""

    learning_rate: Annotated[float, above(0), finite] = 1e-3
    """Step size of Adam."""

    horizontal_flips: bool = True
    """Whether each image is mirrored with probability 1/2 in each epoch; the paper does not."""

    random_crops: Annotated[float, share_below_1] = 0.25
    """Each image is seen in each epoch as a crop at random of at least 1 minus this of its sides,
    brought back to its size; 0 is the whole image, as in the paper."""

    color_jitter: Annotated[float, share_below_1] = 0.2
    """In each epoch each colour channel of an image is scaled by up to 1 plus or minus this and
    shifted by up to this share of half its range, at random; 0 leaves it, as the paper does."""

    average_decay: Annotated[float, share_below_1] = 0.995
    """Share that the running mean of the weights keeps at each step; the mean is the result.
    0 makes the last weights the result, as in the paper."""

    seed: Annotated[int, at_least(0)] = 0
    """Decides the first weights, and with the epoch the order, flips, crops and colours."""

    patience: Literal["auto"] | Annotated[int, at_least(1)] | None = "auto"
    """Epochs in turn that may agree no better with the labels held back (`export.val_share`) before
    training stops, so that `epochs` is the most; the weights of the best epoch are the result. auto
    is a quarter of epochs and 3 at least, and null where fewer than 20 labels are held back, which
    are then only compared with. null makes all epochs and keeps the last, as the paper does."""

    num_workers: Annotated[int, within(1, LANES)] = 1
    """Processes that share each batch; more of them change the result by rounding alone."""

    min_workers: int | None = None
    """Fewest workers to go on with where nodes are lost; null waits for all of them."""

    shuffle_images: Annotated[int, at_least(1)] = 65_536
    """Images that are mixed with one another, over all workers: an epoch takes the corpus in
    windows of at most so many rows, in a new order each, and uses up one before the next."""

    cache_mb: Annotated[int, at_least(1)] = 16_384
    """Most disk that a worker takes, in the folder for temporary files, for the decoded images of
    its share. Windows that fit are read once, others again in each epoch."""

    precision: Precision = "auto"
    """fp32, bf16, or auto for bf16 where the processor multiplies bf16 faster than fp32."""

    images_per_pass: Annotated[int, at_least(1)] = 16
    """Most images in one forward and backward pass of a worker; bounds its memory."""

    checkpoint_every_epochs: Annotated[int, at_least(1)] = 1
    """Epochs between the points an interrupted training can resume from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough = self.min_workers is None or 1 <= self.min_workers <= self.num_workers
        allowed = f"null, or 1 to train.num_workers, which is {self.num_workers}"
        self.require("min_workers", enough, allowed)
