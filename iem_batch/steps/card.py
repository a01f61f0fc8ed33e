"""The README.md of a run folder: a data-set card by which `datasets.load_dataset(RUN)` works."""

from collections.abc import Container
from typing import Any

import yaml

import iem_batch
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import Summary, read_summary
from iem_batch.run.schema import checksum
from iem_batch.steps.procedure import procedure
from iem_batch.steps.registry import STEPS

_CARD = "_run/card.json"

DEFAULTS = ("export", "fuse")
"""The config that `load_dataset(RUN)` opens, the first that is there: images with their masks, or a
mask of each image. With the image in it, fuse would take many times its bytes."""

_TEXT = """
# Segmentation masks by {method}

Made by iem_batch {version}, {origin}.

| folder | a row is |
|---|---|
{rows}

`datasets.load_dataset(RUN)` opens {default}/, `datasets.load_dataset(RUN, "segment")` another
folder. A mask is a 1-bit PNG, white is foreground; uri says where its image lies.

## How it was made

{procedure}

## Figures

{figures}
"""


def card_head(
    license: str | None, num_rows: int, configs: list[dict[str, Any]], by_iem: bool = True
) -> str:
    """Make the head of a card, which the Hugging Face Hub and `load_dataset` read.

    Args:
        license: of the data, by the Hub's name; None if nobody has said it.
        num_rows: of the data set.
        configs: which files are which config and split; may be empty.
        by_iem: whether no person had a part in the masks, as far as is known.
    """
    head: dict[str, Any] = {} if license is None else {"license": license}
    head["task_categories"] = ["image-segmentation"]
    head["size_categories"] = [_size_category(num_rows)]
    head["tags"] = ["iem_batch", "pseudo-labels", *["unsupervised"] * by_iem]
    if configs:
        head["configs"] = configs
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n"


def procedure_lines(job: Job, steps: Container[str] = STEPS) -> str:
    """List how the photos were brought to size and some steps were done, in Markdown."""
    done = {step: how for step, how in procedure(job).items() if step in steps or step == "photos"}
    return "\n".join(f"- {step}: {how}" for step, how in done.items())


def write_card(job: Job) -> None:
    """Write README.md for the data folders that exist, unless a person has changed it."""
    run = job.run
    masks = read_summary(run, "segment")
    if masks is None or not _is_ours(run):
        return
    places = [(run, step.name) for step in STEPS.values() if step.rows and step.of_run]
    places.insert(1, (run, layout.QUARANTINE))
    number = 2
    while job.place_of(number).names("_run/steps"):
        place = job.place_of(number)
        places += [(place, step.name) for step in STEPS.values() if step.rows and step.per_round]
        number += 1
    configs: list[dict[str, Any]] = []
    for place, folder in places:
        name = title(run, place, folder)
        if names := place.names(folder):
            files = _data_files(name, names)
            configs.append({"config_name": name.replace("/", "_"), "data_files": files})
    by_name = {each["config_name"]: each for each in configs}
    default = next((by_name[name] for name in DEFAULTS if name in by_name), configs[0])
    default["default"] = True
    lines = [
        *(f"| {step.name}/ | {step.rows} |" for step in STEPS.values() if step.rows),
        "| quarantine/ | an image that could not be used, and why |",
        *["| rounds/N/ | the same of the later rounds |"] * (number > 2),
    ]
    done = [name for name in STEPS if read_summary(run, name) is not None]
    segment = job.settings.segment
    head = card_head(job.settings.export.license, masks.ok, configs, segment.by_iem)
    text = head + _TEXT.format(
        method=segment.method,
        origin=segment.origin,
        version=iem_batch.__version__,
        default=default["config_name"],
        rows="\n".join(lines),
        procedure=procedure_lines(job, done),
        figures=_figures(job, masks),
    )
    sha = run.write_bytes(layout.README, text.encode())
    run.write_json(_CARD, {"sha256": sha})


def _figures(job: Job, masks: Summary) -> str:
    """Count what the steps have made, a line each."""
    lines = [f"- {masks.ok:,} images have a mask, {masks.quarantined:,} could not be used."]
    for name, what in (("topk", "selected"), ("export", "pairs of an image and its mask")):
        if (summary := read_summary(job.run, name)) is not None:
            lines.append(f"- {summary.ok:,} {what}.")
    return "\n".join(lines)


def _size_category(num_rows: int) -> str:
    """Name the Hub's category of so many rows: n<1K, 1K<n<10K and so on."""
    names = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B")
    digits = min(max(len(str(num_rows)) - 3, 0), len(names) - 1)
    return f"{names[digits - 1]}<n<{names[digits]}" if digits else "n<1K"


def _is_ours(run: RunFolder) -> bool:
    """Tell whether README.md is absent, or is as this program has written it."""
    try:
        text = run.read_bytes(layout.README)
    except FileNotFoundError:
        return True
    return run.exists(_CARD) and run.read_json(_CARD)["sha256"] == checksum(text)


def _data_files(folder: str, names: list[str]) -> str | list[dict[str, str]]:
    if not any(name.startswith("val-") for name in names):
        return f"{folder}/*.parquet"
    return [
        {"split": "train", "path": f"{folder}/part-*.parquet"},
        {"split": "validation", "path": f"{folder}/val-*.parquet"},
    ]
