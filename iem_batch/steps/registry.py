"""What each step is: the one record that the command line, `run` and all tools read.

A step has one name: of its command, its section of the settings, its folder in a run, and its
package here, whose module `step` has two functions:

    build(job)                    the step as it is to be done: a `ShardStep` or a `WholeStep`
    finish(job, built, summary)   says what came out, when its last shard is committed
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step."""

    name: str
    summary: str
    """What it does, in a line of the command line's help."""
    examples: tuple[str, ...] = ()
    """What may stand behind its name, for the help."""
    arguments: tuple[str, ...] = ("run",)
    """Arguments of its command: names of `cli.ARGUMENTS` and short flags."""
    holds: str
    """What is in its folder, for the report."""
    rows: str = ""
    """What a row of its tables is, for the data-set card; empty if its folder is no data set."""
    masks: str = ""
    """What its masks are called, for people; empty if it makes none."""
    of_plan: bool = True
    """Whether a shard of it is a shard of the plan."""
    per_round: bool = True
    """Whether each round has its own."""
    uses_engine: bool = False
    """Whether it runs IEM."""
    is_optional: bool = False
    """Whether it is done only when it is asked for."""
    is_made_anew: bool = False
    """Whether each call makes its output anew, whatever it was made with before."""
    kind: Literal["run", "images", "masks"] = "run"
    """What it lies in: a run, or a folder of its own with what its name says."""
    parts: tuple[str, ...] = ()
    """Folders in which each of its shards has, or may have, a file part-N."""
    scratch: tuple[str, ...] = ()
    """Folders of files that it keeps beside those of its marks."""
    drafts: tuple[str, ...] = ()
    """Files that it writes before it is done."""
    paper: tuple[str, ...] = ()
    """Sections in which --paper sets the paper's recipe."""
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Settings that its command has other defaults for."""

    @property
    def of_run(self) -> bool:
        """Whether it lies in a run; else it makes a folder of its own."""
        return self.kind == "run"


MASK_FLAGS = ("--engine", "--masks")
PLAN_FLAGS = ("--limit", "--sample", "--include", "--exclude", "--keep", "--shard-size")
EXTEND_FLAGS = ("--extend", "--as-planned")
TRUTH_FLAGS = ("--truth", "--truth-foreground", "--truth-ignore", "--ignore")

STEPS = {
    step.name: step
    for step in (
        Step(
            name="segment",
            summary="Run IEM on every image: masks and errors.",
            examples=(
                "photos run",
                "photos run --local --limit 100",
                "photos run --engine my_package.masks:MyEngine",
            ),
            arguments=("source", "run", *MASK_FLAGS, *EXTEND_FLAGS, *PLAN_FLAGS, "--shards"),
            holds="IEM's masks and their errors",
            rows="an image and first mask: its final mask (1-bit PNG, white is foreground), errors",
            masks="IEM, one first mask",
            per_round=False,
            uses_engine=True,
            parts=("segment", "quarantine"),
            scratch=("_run/killers",),
            paper=("decode", "iem", "segment"),
        ),
        Step(
            name="fuse",
            summary="Fuse the masks of each image into one, by their vote and a graph cut.",
            examples=(
                "run",
                "run --local",
                "run --fuse.method dataset",
            ),
            arguments=("run", "--shards"),
            holds="the one mask of each image",
            rows="an image: its mask, the vote of its masks of segment, errors and agreement",
            masks="IEM",
            per_round=False,
            uses_engine=True,
            paper=("fuse",),
            parts=("fuse",),
        ),
        Step(
            name="topk",
            summary="Select the masks of highest inpainting error, times agreement, in the run.",
            examples=(
                "run",
                "run -k 1000",
                "run --exclude bad.txt --overwrite",
            ),
            arguments=("run", "-k", "--fraction", "--per-group", "--exclude", "--only", "--rounds"),
            holds="the images of highest score",
            of_plan=False,
            paper=("topk",),
        ),
        Step(
            name="export",
            summary="Write the selected (image, mask) pairs as a corpus.",
            examples=(
                "run",
                "run --format coco",
                "run --format webdataset --export.size original --to corpus",
            ),
            arguments=("run", "--format", "--to", "--license", "--shards"),
            holds="(image, mask) pairs for training",
            rows="a selected (image, mask) pair",
            of_plan=False,
            paper=("export",),
            parts=("export",),
        ),
        Step(
            name="train",
            summary="Train SegNet on the corpus.",
            examples=(
                "run",
                "run --train.epochs 20",
                "run --backbone my_package.networks:DeepLab",
            ),
            arguments=("run", "--backbone"),
            holds="SegNet's weights and history",
            of_plan=False,
            scratch=("_run/train",),
            drafts=("train/events.out.tfevents.0.iem_batch",),
            paper=("segnet", "train"),
        ),
        Step(
            name="predict",
            summary="Predict SegNet's mask for every image of the plan.",
            examples=(
                "run",
                "run --local",
                "run --predict.threshold 0.4",
            ),
            arguments=("run", "--shards"),
            holds="SegNet's masks",
            rows="SegNet's mask of an image; its probability (8-bit PNG) if it was asked for",
            masks="SegNet",
            uses_engine=True,
            paper=("predict",),
            parts=("predict",),
        ),
        Step(
            name="refine",
            summary="Make SegNet's masks better, by a graph cut or by IEM.",
            examples=(
                "run",
                "run --local",
                "run --refine.method iem",
            ),
            arguments=("run", "--shards"),
            holds="SegNet's masks, refined",
            rows="SegNet's mask of an image, refined",
            masks="SegNet, refined",
            paper=("refine",),
            uses_engine=True,
            parts=("refine",),
        ),
        Step(
            name="upscale",
            summary="Bring masks to the size of their photos.",
            examples=(
                "run",
                "run --upscale.masks fuse",
                "run --upscale.encoding rle",
            ),
            arguments=("run", "--shards"),
            holds="masks at the size of their photos",
            rows="a mask at the size of its photo",
            is_optional=True,
            parts=("upscale",),
        ),
        Step(
            name="evaluate",
            summary="Measure masks against ground truth.",
            examples=(
                "run --truth masks",
                "run --truth truth.json",
                "run --truth masks --against other_run",
            ),
            arguments=("run", *TRUTH_FLAGS, "--format", "--against"),
            holds="scores against ground truth",
            of_plan=False,
            per_round=False,
            is_optional=True,
            is_made_anew=True,
        ),
        Step(
            name="report",
            summary="Write a page about the run: its photos by score, to look through and mark.",
            examples=(
                "run",
                "run --report.num_photos 100000",
                "run --against other_run",
            ),
            arguments=("run", "--against"),
            holds="this page",
            of_plan=False,
            per_round=False,
            is_made_anew=True,
        ),
        Step(
            name="convert",
            summary="Copy the images of a source into Parquet or tar shards, byte for byte.",
            examples=(
                "photos.lmdb shards",
                "photos shards --to tar",
                "photos shards --shard-size 4096",
            ),
            arguments=("source", "out", "--to", *EXTEND_FLAGS, *PLAN_FLAGS, "--shards"),
            holds="images as they were in the source",
            per_round=False,
            kind="images",
            parts=("", "_run/quarantine"),
            defaults=MappingProxyType({"plan.shard_size": 1024}),
        ),
        Step(
            name="apply",
            summary="Make the masks of any photos with a network that is trained.",
            examples=(
                "run photos masks",
                "run/train/weights.safetensors photos masks --local",
                "run photos masks --format png",
            ),
            arguments=("model", "source", "out", "--format", "--backbone", *EXTEND_FLAGS)
            + (*PLAN_FLAGS, "--shards"),
            holds="masks of photos, by a trained network",
            per_round=False,
            kind="masks",
            parts=("", "_run/quarantine"),
        ),
    )
}
"""Every step by its name, in the order in which they are done."""

MASKS = tuple(step.name for step in STEPS.values() if step.masks)
"""The steps that make masks, of which others take theirs."""


def up_to(name: str) -> tuple[str, ...]:
    """List a step and all before it, in order."""
    names = tuple(STEPS)
    return names[: names.index(name) + 1]
