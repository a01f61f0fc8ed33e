"""The README.md of a run folder: a data-set card by which `datasets.load_dataset(RUN)` works."""

from typing import Any

import yaml

from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import read_summary
from iem_batch.run.schema import checksum
from iem_batch.steps.registry import STEPS

_CARD = "_run/card.json"

_TEXT = """
# Segmentation masks by {method}

Made by iem_batch, without labels. {ok:,} images have a mask, {quarantined:,} could not be used.

| folder | a row is |
|---|---|
{rows}

`datasets.load_dataset(RUN, "segment")` opens one of these folders.
"""


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
    configs[0]["default"] = True
    head = yaml.safe_dump({"configs": configs}, sort_keys=False)
    rows = [f"| {step.name}/ | {step.rows} |" for step in STEPS.values() if step.rows]
    rows += ["| quarantine/ | an image that could not be used, and why |"]
    rows += ["| rounds/N/ | the same of the later rounds |"] * (number > 2)
    method = job.settings.segment.engine or "Inpainting Error Maximization"
    counts = {"ok": masks.ok, "quarantined": masks.quarantined}
    text = _TEXT.format(method=method, **counts, rows="\n".join(rows))
    sha = run.write_bytes(layout.README, f"---\n{head}---\n{text}".encode())
    run.write_json(_CARD, {"sha256": sha})


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
