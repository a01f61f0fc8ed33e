"""Where everything lies in a run folder.

RUN/
  README.md  _SUCCESS
  STEP/part-00000.parquet               what a step writes, in the folder of its name
  quarantine/part-00000.parquet         images that `segment` could not use
  rounds/2/                             the second round: its steps, and a _run/ with their marks
  _run/run.json                         says that this is a run folder; written first
  _run/plan.json  _run/manifest/part-00000.parquet  _run/config.yaml
  _run/planning.json                    what a command at work is planning with
  _run/steps/STEP.json                  what the step's output depends on
  _run/stats/STEP/part-00000.json       the commit mark of a shard, written last
  _run/done/STEP.json                   the sums over all shards, when the last one is committed
  _run/failures/STEP/part-00000.json    what became of a shard that could not be done
  _run/exports/NAME.json                a corpus of this run that lies elsewhere
  _run/killers/part-00000.json          images of a shard that kill the process that decodes them
  _run/drivers/HOST-PID.json            what a command at work has in flight

A place is a folder with steps of its own: the run, a later round, a corpus elsewhere.
"""

import re
from collections.abc import Container, Iterable

MARKER = "_run/run.json"
PLAN = "_run/plan.json"
PLANNING = "_run/planning.json"
CONFIG = "_run/config.yaml"
ESTIMATE = "_run/estimate.json"
DRIVERS = "_run/drivers"
EXPORTS = "_run/exports"
README = "README.md"
SUCCESS = "_SUCCESS"
QUARANTINE = "quarantine"

_PART = re.compile(r"part-(\d{5}|[1-9]\d{5,})\.(?:json|parquet|tar)")
_SCRATCH = re.compile(r"_run/killers/part-\d{5,}\.json|_run/train/[0-9a-f]{16}\.pt")


def part(step: str, shard: int) -> str:
    """Name the Parquet file of a shard."""
    return f"{step}/part-{shard:05d}.parquet"


def manifest_part(number: int) -> str:
    """Name a file that lists the source entries of many shards."""
    return part("_run/manifest", number)


def mark(step: str, shard: int) -> str:
    """Name the commit mark of a shard."""
    return f"_run/stats/{step}/part-{shard:05d}.json"


def failures(step: str) -> str:
    """Name the folder of what became of shards of a step that could not be done."""
    return f"_run/failures/{step}"


def failure(step: str, shard: int) -> str:
    """Name the file that says why a shard of a step could not be done."""
    return f"{failures(step)}/part-{shard:05d}.json"


def killers(shard: int) -> str:
    """Name the file of the images of a shard that kill the process that works on them."""
    return f"_run/killers/part-{shard:05d}.json"


def record(step: str) -> str:
    """Name the file that says what a step's output depends on."""
    return f"_run/steps/{step}.json"


def summary(step: str) -> str:
    """Name the file that a finished step has."""
    return f"_run/done/{step}.json"


def round_folder(number: int) -> str:
    """Name the place of a round after the first."""
    return f"rounds/{number}"


def is_scratch(name: str, shards: Container[int | None]) -> bool:
    """Tell a file that a step keeps beside its output: killers of one of its shards, a checkpoint.

    Args:
        name: in the place.
        shards: those of the step, and None, which a checkpoint is about.
    """
    return _SCRATCH.fullmatch(name) is not None and shard_of(name.rpartition("/")[2]) in shards


def shard_of(name: str) -> int | None:
    """Give the shard a file is about, by its base name; None if it is about none."""
    match = _PART.fullmatch(name)
    return int(match[1]) if match else None


def shards_of(names: Iterable[str], extension: str) -> set[int]:
    """Give the shards that files of an extension are about, by their base names."""
    found = (shard_of(name) for name in names if name.endswith(extension))
    return {shard for shard in found if shard is not None}
