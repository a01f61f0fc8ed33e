"""What `evaluate` found: the record of its summary.json, and its reader."""

from dataclasses import dataclass, field

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_mark, read_summary
from iem_batch.steps.evaluate.methods import EARLIER_ROUND
from iem_batch.steps.evaluate.settings import EvaluateSettings

SUMMARY = "evaluate/summary.json"

PER_IMAGE = "evaluate/per_image"
"""Folder of the scores of each image."""


@dataclass(frozen=True, kw_only=True)
class MethodScores:
    """Means over images, in [0, 1], by the names in `METRICS`, and the ends of the list."""

    method: str
    num_images: int
    as_labelled: dict[str, float]
    best_polarity: dict[str, float]
    as_labelled_interval: dict[str, list[float]] = field(default_factory=dict)
    """Lower and upper end, by metric; none with 0 resamples."""
    best_polarity_interval: dict[str, list[float]] = field(default_factory=dict)
    best_images: dict[str, float] = field(default_factory=dict)
    """image_id -> IoU as labelled, the highest first."""
    worst_images: dict[str, float] = field(default_factory=dict)
    """image_id -> IoU as labelled, the lowest first."""
    labels_iou: float | None = None
    """IoU as labelled of the fused masks of the same images; None for these and for baselines."""
    labels_interval: list[float] = field(default_factory=list)
    """Of the IoU less that, image by image: lower and upper end; empty with 0 resamples."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What `evaluate` found."""

    truth_url: str
    ignore_url: str | None
    num_images: int
    """Images with a mask and a truth."""
    num_without_truth: int
    """Images with a mask and no truth, or with every pixel ignored; they count nowhere."""
    seen_pixels: float
    """Share of the photos that the engine saw, mean over images."""
    seen_foreground: float
    """Share of their true foreground that it saw."""
    methods: list[MethodScores]
    num_in_truth: int | None = None
    """Images the truth has, with or without a mask; None where nobody can tell."""
    settings: EvaluateSettings = field(default_factory=EvaluateSettings)

    @property
    def num_rounds(self) -> int:
        """Rounds of training that the run has."""
        return 1 + sum(scores.method.startswith(EARLIER_ROUND) for scores in self.methods)

    @property
    def size(self) -> str:
        """At which size masks were compared, for people."""
        return "the engine's size" if self.settings.at == "engine" else "the size of the photos"


def per_image_files(run: RunFolder) -> list[str]:
    """Name the tables of the scores of each image, in order of the shards of the plan.

    Raises:
        FileNotFoundError: the run has not been evaluated.
    """
    files = read_mark(run, "evaluate", 0).files
    return sorted(name for name in files if name.startswith(f"{PER_IMAGE}/"))


def read_evaluation(run: RunFolder) -> Evaluation | None:
    """Read what `evaluate` wrote; None if it has not finished."""
    if read_summary(run, "evaluate") is None:
        return None
    stored = run.read_json(SUMMARY)
    methods = [MethodScores(**scores) for scores in stored.pop("methods")]
    options = stored.pop("settings", {})
    tuples = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    settings = EvaluateSettings(**(options | tuples))
    return Evaluation(**stored, methods=methods, settings=settings)
