"""The commands that are no steps: one record each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iem_batch.steps.registry import EXTEND_FLAGS, MASK_FLAGS, PLAN_FLAGS, STEPS, TRUTH_FLAGS
from iem_batch.tools.settings import DEMO_DEFAULTS


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A command that is no step; done by the function of its name in `iem_batch.tools.MODULE`."""

    summary: str
    examples: tuple[str, ...]
    """What may stand behind its name, for the help."""
    module: str
    arguments: tuple[str, ...] = ("run",)
    """As the command line knows them; `?` is one that may be left out."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings it has other defaults for."""
    paper: tuple[str, ...] = ()
    """Sections in which --paper sets the paper's recipe."""


TOOLS = {
    "run": Tool(
        summary="Do all steps, from images to report.",
        examples=(
            "photos run",
            "photos run --local --limit 500",
            "photos run --truth masks --fraction 0.3",
        ),
        module="pipeline",
        arguments=("source", "run", *EXTEND_FLAGS)
        + ("-k", "--fraction", "--rounds", *MASK_FLAGS, "--backbone", *TRUTH_FLAGS, *PLAN_FLAGS),
        paper=tuple(dict.fromkeys(name for step in STEPS.values() for name in step.paper)),
    ),
    "plan": Tool(
        summary="List the images of a source and cut them into shards.",
        examples=(
            "photos run",
            "photos run --estimate",
            "photos run --extend",
        ),
        module="plan",
        arguments=("source", "run", "--estimate", "--extend", "--moved-to", *PLAN_FLAGS),
    ),
    "show": Tool(
        summary="Draw one image of a run, or any photo.",
        examples=(
            "cat.jpg run",
            "cat.jpg",
            "birds/0001.jpg run --png bird.png",
        ),
        module="show",
        arguments=("image", "run?", "--png"),
    ),
    "status": Tool(
        summary="Print what is done and what is left.",
        examples=(
            "run",
            "run --json",
            "s3://bucket/run",
        ),
        module="status",
        arguments=("run", "--json"),
    ),
    "verify": Tool(
        summary="Compare a run with its plan and its commit marks, byte by byte.",
        examples=(
            "run",
            "run --reread",
            "run --json",
        ),
        module="verify",
        arguments=("run", "--json", "--reread"),
    ),
    "retry": Tool(
        summary="Do again the shards that failed.",
        examples=(
            "run",
            "run --quarantined",
            "run --damaged",
        ),
        module="retry",
        arguments=("run", "--quarantined", "--damaged"),
    ),
    "ship": Tool(
        summary="Write the trained network of a run for others: the file and a model card.",
        examples=(
            "run shipped",
            "run shipped --to onnx",
            "run shipped --to torch_export",
        ),
        module="ship",
        arguments=("run", "out", "--to"),
    ),
    "demo": Tool(
        summary="Make pictures whose masks are known, and do all steps on them.",
        examples=(
            "demo",
            "demo --local",
            "demo --demo.num_images 100 -k 50",
        ),
        module="pipeline",
        arguments=("run", "-k", "--fraction", "--rounds"),
        defaults=DEMO_DEFAULTS,
    ),
    "doctor": Tool(
        summary="Print what this machine or a cluster can run, and what to do where it cannot.",
        examples=(
            "",
            "--address auto",
            "--run s3://bucket/run --source s3://bucket/photos",
        ),
        module="doctor",
        arguments=("--address", "--run", "--source"),
    ),
}
"""Name of the command -> what it is."""
