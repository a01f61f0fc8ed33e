"""The settings of the step `export`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import require_choices
from iem_batch.errors import SettingsError

CorpusFormat = Literal["parquet", "webdataset", "coco", "folder"]


CorpusSize = Literal["engine", "original"]


CorpusMasks = Literal["masks", "predictions", "refined"]


Foreground = Literal["frame", "as_found"]
"""Which side of a mask is called foreground."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What the pairs become, and how they are cut into files.

    SegNet is trained on what the defaults of format, size and masks give, RUN/corpus. All that has
    others is a corpus for other tools and goes into a folder of its own.
    """

    format: CorpusFormat = "parquet"
    """`parquet`, for Hugging Face datasets; `webdataset`, tar files; `coco`, images and one JSON
    file of masks; `folder`, images/ and masks/."""

    size: CorpusSize = "engine"
    """`engine`: what the engine saw; `original`: the image as it is, with the mask brought back to
    its size, and the margins that the engine did not see marked to be ignored."""

    masks: CorpusMasks = "masks"
    """Folder of the run the masks are taken from; which images are taken, `topk` says. `masks` are
    those it selected among: of a later round the masks of the round before."""

    foreground: Foreground = "frame"
    """`frame`: the side whose share of the outermost pixels is higher than its share of the image
    is background, in every mask of the corpus; `as_found`: masks stay as they are, as in the paper,
    whose first masks are squares in the centre."""

    to: str | None = None
    """Folder to write to, empty or written by this command before; null is RUN/corpus, or
    RUN/exports/FORMAT-SIZE-MASKS for what SegNet is not trained on."""

    pairs_per_file: int = 1024
    """(image, mask) pairs in one file of the corpus, or written at once; at the original size so
    many at most as have about 256 MB."""

    file_mb: float | None = None
    """About so many megabytes in one file, instead of pairs_per_file; judged by the mean size of
    the images planned."""

    val_share: float = 0.0
    """Share of the images set apart for validation, by a hash of their ids."""

    def __post_init__(self) -> None:
        kinds = {
            "format": CorpusFormat,
            "size": CorpusSize,
            "masks": CorpusMasks,
            "foreground": Foreground,
        }
        require_choices("export", self, kinds)
        if self.pairs_per_file < 1:
            raise SettingsError(
                f"export.pairs_per_file is {self.pairs_per_file}; it must be at least 1"
            )
        if self.file_mb is not None and not self.file_mb > 0:
            raise SettingsError(f"export.file_mb is {self.file_mb}; it must be above 0, or null")
        if not 0 <= self.val_share < 1:
            raise SettingsError(
                f"export.val_share is {self.val_share}; it must be 0 or above and below 1"
            )

    @property
    def for_training(self) -> "ExportSettings":
        """The settings of RUN/corpus, cut into files in the same way."""
        return ExportSettings(
            foreground=self.foreground,
            pairs_per_file=self.pairs_per_file,
            file_mb=self.file_mb,
            val_share=self.val_share,
        )
