"""The settings of the steps that are not IEM's, the decoder's or the network's own."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from iem_batch.errors import SettingsError

InitChoice = Literal["dataset", "image"]
"""How one of several first masks is chosen without labels: one for the run, or one per image."""

CorpusFormat = Literal["parquet", "webdataset", "coco", "folder"]
CorpusSize = Literal["engine", "original"]
CorpusMasks = Literal["masks", "predictions", "refined"]

GROUP_BY_FOLDER = "folder"
"""The group of an image that its id gives."""

UpscaleMethod = Literal["guided", "bilinear", "nearest"]
TruthFormat = Literal["auto", "folder", "coco", "parquet", "cub200", "flowers102", "lsun_car"]
Split = Literal["train", "val", "test", "all"]
Baseline = Literal["grabcut", "otsu"]
PublishedSet = Literal["flowers102", "cub200", "lsun_car"]
"""The data sets of the paper's tables."""


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which engine runs IEM, and what it starts from."""

    init_sides: tuple[int, ...] = (78,)
    """Sides in pixels of the centred squares each image starts from; the paper has 44, 78, 92."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    def __post_init__(self) -> None:
        sides = self.init_sides
        if not sides or len(set(sides)) < len(sides) or min(sides) < 1:
            raise SettingsError(
                f"segment.init_sides is {list(sides)}; give one or more different sides above 0"
            )


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """What becomes of shards that fail; none of it changes a result."""

    max_attempts: int = 3
    """How often a command tries a shard before it reports it as failed."""

    timeout_s: float | None = None
    """Seconds after which a phase of a shard (load, compute, write) is taken for hung and its
    worker is stopped, as if the shard had killed it; null waits for ever."""

    memory_mb: float | None = None
    """Memory a worker may take to decode one image, in MB; a shard with a larger image fails and
    says which. null is no limit but decode.max_pixels."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise SettingsError(
                f"shards.max_attempts is {self.max_attempts}; it must be at least 1"
            )
        for name in ("timeout_s", "memory_mb"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"shards.{name} is {value}; it must be above 0, or null")

    @property
    def memory_bytes(self) -> int | None:
        """The memory a worker may take, in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * 1e6)


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """What decides which masks become the labels SegNet learns from.

    The paper has k and nothing else; all that follows `init_choice` is off by default.
    """

    k: int = 8000
    """How many images are taken, those of highest inpainting error; all where there are fewer."""

    init_choice: InitChoice = "dataset"
    """`dataset`: the first mask whose mean error over the run is highest, as in the paper;
    `image`: for each image the first mask that gives the highest error."""

    fraction: float | None = None
    """Take this share of all images that have a mask, instead of k."""

    min_area: float = 0.0
    """Leave out masks that cover a smaller share of the image."""

    max_area: float = 1.0
    """Leave out masks that cover a larger share of the image."""

    max_frame: float = 1.0
    """Leave out masks that cover a larger share of the image's outermost pixels."""

    per_group: str | None = None
    """Take equally many images of each group: the word folder, for the folder of an image in its
    source, or a column of the table `groups`. What a small group lacks goes to the others."""

    groups: str | None = None
    """Parquet or CSV file with the column image_id and that of `per_group`; others are left out."""

    diversity_bits: int | None = None
    """Leave out an image whose perceptual hash, of 64 bits, differs in so few bits or fewer from
    that of an image of higher error that is taken. Needs the extra diversity."""

    def __post_init__(self) -> None:
        if self.k < 0:
            raise SettingsError(f"select.k is {self.k}; it must be 0 or above")
        if self.init_choice not in get_args(InitChoice):
            raise SettingsError(
                f"select.init_choice is {self.init_choice!r}; "
                f"it must be one of {', '.join(get_args(InitChoice))}"
            )
        for name in ("fraction", "min_area", "max_area", "max_frame"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise SettingsError(f"select.{name} is {value}; it must be in 0..1")
        if self.min_area > self.max_area:
            raise SettingsError(
                f"select.min_area is {self.min_area}, above select.max_area, {self.max_area}"
            )
        if (self.groups is None) != (self.per_group in (None, GROUP_BY_FOLDER)):
            raise SettingsError(
                f"select.per_group is {self.per_group!r} and select.groups {self.groups!r}; give "
                f"{GROUP_BY_FOLDER} alone, or a table and one of its columns"
            )
        if self.diversity_bits is not None and not 0 <= self.diversity_bits < 64:
            raise SettingsError(
                f"select.diversity_bits is {self.diversity_bits}; it must be in 0..63"
            )


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What the pairs become, and how they are cut into files.

    SegNet is trained on what the defaults give, RUN/corpus. All that has another format, size or
    masks is a corpus for other tools and goes into a folder of its own.
    """

    format: CorpusFormat = "parquet"
    """`parquet`, for Hugging Face datasets; `webdataset`, tar files; `coco`, images and one JSON
    file of masks; `folder`, images/ and masks/."""

    size: CorpusSize = "engine"
    """`engine`: what the engine saw; `original`: the image as it is, with the mask brought back to
    its size, and the margins that the engine did not see marked to be ignored."""

    masks: CorpusMasks = "masks"
    """Folder of the run the masks are taken from; which images are taken, `topk` says."""

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
        for name, kind in {
            "format": CorpusFormat,
            "size": CorpusSize,
            "masks": CorpusMasks,
        }.items():
            if getattr(self, name) not in get_args(kind):
                raise SettingsError(
                    f"export.{name} is {getattr(self, name)!r}; "
                    f"it must be one of {', '.join(get_args(kind))}"
                )
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
            pairs_per_file=self.pairs_per_file, file_mb=self.file_mb, val_share=self.val_share
        )


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """How SegNet's probabilities become masks."""

    threshold: float | Literal["auto"] = 0.5
    """Probability above which a pixel is foreground; auto takes the one whose masks have the
    highest mean inpainting error, as the paper chooses among first masks, without labels."""

    def __post_init__(self) -> None:
        if self.threshold != "auto" and not 0 < float(self.threshold) < 1:
            raise SettingsError(
                f"predict.threshold is {self.threshold!r}; use auto or a number between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class UpscaleSettings:
    """How masks come to the size of their photos. Figures are those of benchmarks/native.py."""

    masks: CorpusMasks = "masks"
    """Which masks: those of segment, of predict (predictions) or of refine (refined)."""

    method: UpscaleMethod = "guided"
    """`guided`: the outline follows the photo's edges, by the guided filter; `bilinear`: corners of
    pixels are rounded; `nearest`: pixels are repeated."""

    size_px: int | None = None
    """Run the engine first at this size, say 256 or 512, started from the small mask; null does
    not."""

    iterations: int = 8
    """Iterations at that size; with many the engine finds another mask, no sharper outline."""

    margin: Literal["unknown", "segment"] = "unknown"
    """What the crop has cut off: `unknown`, or `segment`ed by the engine on the whole photo,
    started from the mask of its centre."""

    encoding: Literal["png", "rle"] = "png"
    """A 1-bit PNG, or COCO's compressed run lengths."""

    def __post_init__(self) -> None:
        allowed = {
            "masks": CorpusMasks,
            "method": UpscaleMethod,
            "margin": Literal["unknown", "segment"],
            "encoding": Literal["png", "rle"],
        }
        for name, choices in allowed.items():
            if getattr(self, name) not in get_args(choices):
                raise SettingsError(
                    f"upscale.{name} is {getattr(self, name)!r}; "
                    f"it must be one of {', '.join(get_args(choices))}"
                )
        if self.size_px is not None and not 1 <= self.size_px <= 4096:
            raise SettingsError(f"upscale.size_px is {self.size_px}; it must be in 1..4096 or null")
        if self.iterations < 0:
            raise SettingsError(f"upscale.iterations is {self.iterations}; it must be 0 or above")


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """What ground truth is and how masks are held against it."""

    at: Literal["engine", "image"] = "engine"
    """`engine`: the truth goes through the resizing and cropping of its image; `image`: masks are
    enlarged to the truth's own size, and what the engine did not see counts nowhere."""

    format: TruthFormat = "auto"
    """What --truth is; `auto` tells a folder of masks, COCO JSON and Parquet apart; the data sets
    are CUB-200-2011, Flowers-102 and LSUN Car (a COCO JSON of detections)."""

    split: Split = "test"
    """Which part of CUB-200-2011 or Flowers-102 counts, under the names of ReDO."""

    column: str = "mask"
    """Of Parquet files: the column with the masks."""

    category: str | None = None
    """Of a COCO file: the only category that counts; null takes all."""

    instances: Literal["all", "biggest"] = "all"
    """Of a COCO file: the foreground is all instances of an image, or the biggest."""

    min_score: float = 0.5
    """Of a COCO file of detections: those of a lower score do not count."""

    baselines: tuple[Baseline, ...] = ()
    """Further methods to compare with, for which the images are read again: `grabcut`, `otsu`."""

    grabcut_sides: tuple[int, ...] = (78, 112)
    """Sides in pixels of the centred rectangles GrabCut starts from."""

    quote: tuple[PublishedSet, ...] = ()
    """Show the published figures of these data sets beside one's own, marked as quoted."""

    resamples: int = 2000
    """Bootstrap samples for the intervals of the means; 0 leaves them out."""

    seed: int = 0
    """Of the bootstrap."""

    num_listed: int = 10
    """How many of the best and of the worst images are listed for each method, by IoU."""

    def __post_init__(self) -> None:
        self._require("at", [self.at], ("engine", "image"))
        self._require("format", [self.format], get_args(TruthFormat))
        self._require("split", [self.split], get_args(Split))
        self._require("instances", [self.instances], ("all", "biggest"))
        self._require("baselines", self.baselines, get_args(Baseline))
        self._require("quote", self.quote, get_args(PublishedSet))
        if self.min_score < 0:
            raise SettingsError(f"evaluate.min_score is {self.min_score}; it must be 0 or above")
        if min(self.grabcut_sides, default=1) < 1:
            raise SettingsError(
                f"evaluate.grabcut_sides is {list(self.grabcut_sides)}; sides must be above 0"
            )
        for name in ("resamples", "seed", "num_listed"):
            if getattr(self, name) < 0:
                raise SettingsError(
                    f"evaluate.{name} is {getattr(self, name)}; it must be 0 or above"
                )

    def _require(self, name: str, values: Iterable[str], allowed: tuple[str, ...]) -> None:
        for value in values:
            if value not in allowed:
                raise SettingsError(f"evaluate.{name} has {value!r}; it takes {', '.join(allowed)}")


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: int = 2000
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise SettingsError(f"demo.num_images is {self.num_images}; it must be at least 1")


DEMO_DEFAULTS = {"select.k": 1000, "train.epochs": 3, "train.batch_size": 16}
"""What the demo sets differently, to take minutes: 189 optimizer steps instead of thousands."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What the page about a run shows."""

    num_samples: int = 12
    """Images in each gallery."""

    seed: int = 0
    """Decides which images are drawn at random."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= 50:
            raise SettingsError(f"report.num_samples is {self.num_samples}; it must be in 1..50")
        if self.seed < 0:
            raise SettingsError(f"report.seed is {self.seed}; it must be 0 or above")
