"""The settings of the step `export`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, above, at_least, one_of, share_below_1
from iem_batch.steps.export.formats import FORMATS

CorpusSize = Literal["engine", "original"]


CorpusMasks = Literal["fuse", "predict", "refine"]


Foreground = Literal["frame", "as_found"]
"""Which side of a mask is called foreground."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Section, name="export"):
    """What the pairs become, and how they are cut into files.

    SegNet is trained on RUN/export, which has the defaults of format, size and masks. With others
    the corpus is for other tools and goes into a folder of its own.
    """

    format: Annotated[str, one_of(FORMATS)] = "parquet"
    """How the pairs are laid out; named after the tools that open them."""

    size: CorpusSize = "engine"
    """`engine`: what the engine saw; `original`: the image as it is, with the mask brought back to
    its size, and the margins that the engine did not see marked to be ignored."""

    masks: CorpusMasks = "fuse"
    """Step whose masks are taken, for the images that `topk` selected. `fuse` takes those that
    `topk` selected among: in a later round the masks of the round before."""

    foreground: Foreground = "frame"
    """`frame`: the side whose share of the outermost pixels is higher than its share of the image
    is background, in every mask of the corpus; `as_found`: masks stay as they are, as in the paper,
    whose first masks are squares in the centre."""

    to: str | None = None
    """Folder to write to, empty or written by this command before; null is RUN/export, or
    RUN/exports/FORMAT-SIZE-MASKS for what SegNet is not trained on."""

    pairs_per_file: Annotated[int, at_least(1)] = 1024
    """(image, mask) pairs in one file of the corpus, or written at once; at the original size at
    most as many as have about 256 MB."""

    file_mb: Annotated[float, above(0)] | None = None
    """Megabytes in one file, about, instead of pairs_per_file; computed from the mean size of the
    images planned."""

    val_share: Annotated[float, share_below_1] = 0.0
    """Share of the images set apart for validation, by a hash of their ids."""

    @property
    def for_training(self) -> "ExportSettings":
        """The settings of RUN/export, cut into files in the same way."""
        return ExportSettings(
            foreground=self.foreground,
            pairs_per_file=self.pairs_per_file,
            file_mb=self.file_mb,
            val_share=self.val_share,
        )
