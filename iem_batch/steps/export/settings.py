"""The settings of the step `export`."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Rule, Section, above, at_least, one_of, share_below_1
from iem_batch.steps.export.formats import FORMATS

hub_name = Rule(
    "a name that the Hugging Face Hub has for a licence, such as cc-by-4.0",
    lambda value: re.fullmatch(r"[a-z0-9][a-z0-9.-]*", value) is not None,
)

CorpusSize = Literal["engine", "original"]


CorpusMasks = Literal["fuse", "predict", "refine"]


Foreground = Literal["frame", "as_found"]
"""Which side of a mask is called foreground."""


AUTO_VAL_SHARE, FEWEST_TO_HOLD_BACK = 0.1, 40
"""What export.val_share=auto sets apart, and of how many pairs: a tenth of fewer tells nothing, and
would be missed in training."""


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

    val_share: Literal["auto"] | Annotated[float, share_below_1] = "auto"
    """Share of the images set apart for validation, by a hash of their ids: SegNet does not learn
    them and is measured by them. auto is 0.1 of RUN/export with 40 pairs or more, else 0; the paper
    sets none apart."""

    license: Annotated[str, hub_name] | None = None
    """Licence of the images and so of the masks, by the name that the Hugging Face Hub has for it,
    such as cc-by-4.0; it stands in the cards of the corpus and of the run."""

    local_paths: bool = False
    """Whether uri tells where on this machine an image lies; else a local one is a path below the
    source."""

    def val_share_of(self, num_pairs: int) -> float:
        """Give the share to set apart.

        Args:
            num_pairs: in the whole corpus.
        """
        if self.val_share != "auto":
            return self.val_share
        holds_back = self == self.for_training and num_pairs >= FEWEST_TO_HOLD_BACK
        return AUTO_VAL_SHARE if holds_back else 0.0

    @property
    def for_training(self) -> "ExportSettings":
        """The settings of RUN/export, cut into files in the same way."""
        return ExportSettings(
            foreground=self.foreground,
            pairs_per_file=self.pairs_per_file,
            file_mb=self.file_mb,
            val_share=self.val_share,
            license=self.license,
            local_paths=self.local_paths,
        )
