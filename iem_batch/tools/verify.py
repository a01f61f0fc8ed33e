"""The command `verify`: whether a folder is what its plan and its commit marks say.

Every file that a mark names is read and hashed again, its rows are counted and compared with the
plan, and whatever lies beside without being named by a mark is reported. Shards are checked by
threads, a few at a time; what grows with the run is eight bytes for each image, by which an id that
comes twice is found, and the names of the files of one step.
"""

import json as json_format
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain

import numpy as np

from iem_batch.errors import VerificationError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_summary
from iem_batch.run.plan import read_plan
from iem_batch.sources import Source, open_source
from iem_batch.steps.places import StartedStep, done_shards, started_steps
from iem_batch.steps.registry import STEPS
from iem_batch.storage.local_files import is_unfinished_write
from iem_batch.storage.read_ahead import LARGE_REQUESTS, map_ahead
from iem_batch.tools.shard_check import DAMAGES, check_shard, check_whole, id_hashes, image_ids
from iem_batch.words import count

EXAMPLES = 10
"""Findings of one kind that are printed; the others are counted."""

OWN_NAMES = (layout.README, layout.SUCCESS)
OWN_FOLDERS = ("_run", "rounds", "exports", layout.QUARANTINE, *STEPS)


@dataclass
class Findings:
    """What is wrong, by kind: how often, and the first examples."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, message: str) -> None:
        """Note something that is wrong."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if len(self.examples.setdefault(kind, [])) < EXAMPLES:
            self.examples[kind].append(message)

    def lines(self) -> list[str]:
        """Put the findings into lines for a person."""
        lines = []
        for kind, messages in self.examples.items():
            lines += [f"{kind}: {message}" for message in messages]
            if self.counts[kind] > len(messages):
                lines.append(f"{kind}: and {self.counts[kind] - len(messages):,} more")
        return lines


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result."""

    findings: Findings = field(default_factory=Findings)
    not_ours: Findings = field(default_factory=Findings)
    """Files of others, which are no fault and stay as they are."""
    files: dict[str, int] = field(default_factory=lambda: {"count": 0, "bytes": 0})
    """What was read and hashed."""
    steps: list[str] = field(default_factory=list)
    """Titles of what was checked."""
    num_images: int = 0
    """Images that have masks or are in the quarantine."""


def verify(job: Job, json: bool, reread: bool) -> None:
    """Compare a run with its plan and its commit marks, byte by byte, and print what is wrong.

    Raises:
        VerificationError: something is not as it should be; what it is was printed.
    """
    web = job.settings.web
    source = open_source(read_plan(job.run).source_url, web) if reread else None
    result = check(job, source)
    num_faults = sum(result.findings.counts.values())
    if json:
        print(json_format.dumps(asdict(result) | {"num_findings": num_faults}, indent=1))
    else:
        for line in (*result.findings.lines(), *result.not_ours.lines()):
            print(line)
        size = f"{result.files['bytes'] / 1e6:,.1f} MB"
        print(
            f"verify: {count(result.files['count'], 'file')} ({size}) of "
            f"{', '.join(result.steps) or 'no step'} read, {count(result.num_images, 'image')}; "
            f"{count(num_faults, 'fault') if num_faults else 'all is well'}"
        )
        if DAMAGES & result.findings.counts.keys():
            print(f"verify: `iem-batch retry {job.run.url} --damaged` makes anew what is damaged")
    if num_faults:
        raise VerificationError(f"{job.run.url} has {count(num_faults, 'fault')}")


def check(job: Job, source: Source | None) -> Verification:
    """Check every step that has been started.

    Args:
        job: at a planned run, or at what convert has made.
        source: where the images are, to compare the ids of all images with those there; without
            it, ids are compared where the plan has them (one file for each image), and counts
            elsewhere.

    Raises:
        StepMissingError: the run has not been planned.
    """
    read_plan(job.run)
    result = Verification()
    hashes: list[np.ndarray] = []
    started = list(started_steps(job))
    for each in started:
        result.steps.append(each.title)
        hashes += _check_step(each, source, result)
    every = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    _find_repeats(job.run, every, result.findings)
    _find_others(job.run, started, result.not_ours)
    return Verification(**vars(result) | {"num_images": len(every)})


def _check_step(
    started: StartedStep, source: Source | None, result: Verification
) -> list[np.ndarray]:
    """Check the shards of a step; returns the hashes of the ids of its images, if it is segment."""
    place, step, findings = started.place, started.step, result.findings
    num_shards = started.record.num_shards
    done = committed(place, step.name) & set(range(num_shards))
    if missing := sorted(set(range(num_shards)) - done):
        findings.add(
            "not done",
            f"{len(missing):,} of {count(num_shards, 'shard')} of {started.title}, "
            f"first {missing[0]}",
        )
    summary = read_summary(place, step.name)
    if summary is not None and missing:
        findings.add("success", f"{started.title} is marked as complete, but shards are missing")
    if summary is None and not missing:
        findings.add("not done", f"{started.title} has all shards and was not completed")
    named = set(summary.files if summary else ())
    hashes = []
    check = partial(check_shard, started, source)
    every = map_ahead(check, sorted(done), num_threads=LARGE_REQUESTS)
    for checked in chain(every, [check_whole(place, summary)] if summary else ()):
        named |= checked.files.keys()
        result.files["count"] += len(checked.files)
        result.files["bytes"] += sum(checked.files.values())
        hashes.append(checked.id_hashes)
        for kind, message in checked.findings:
            findings.add(kind, started.title.removesuffix(step.name) + message)
    _find_foreign(started, named, findings)
    return hashes


def _find_foreign(started: StartedStep, named: set[str], findings: Findings) -> None:
    """Look for files among a step's that no mark names, and for marks of shards not planned."""
    place, step, num_shards = started.place, started.step, started.record.num_shards
    done, where = committed(place, step.name), started.title.removesuffix(step.name)
    for name in _data_files(started):
        base = name.rpartition("/")[2]
        if name in named or name in step.drafts or is_unfinished_write(base):
            continue  # what an interrupted write has left is deleted by the next command
        shard = layout.shard_of(base)
        if shard is not None and shard < num_shards and shard not in done:
            findings.add("half done", f"{where}{name}: its shard has no commit mark yet")
        else:
            findings.add("foreign", f"{where}{name}: no commit mark names it")
    for base in place.names(f"_run/stats/{step.name}"):
        shard = layout.shard_of(base)
        if shard is None or shard >= num_shards:
            findings.add("foreign", f"{where}_run/stats/{step.name}/{base}: no shard of the plan")


def _data_files(started: StartedStep) -> Iterator[str]:
    """List what lies where a step writes its files."""
    place, step = started.place, started.step
    if place not in (started.job.run, started.job.place) or not step.of_run:
        return (file.name for file in place.walk() if not file.name.startswith("_run/"))
    folders = [step.name, layout.QUARANTINE] if step.name == "segment" else [step.name]
    return (f"{folder}/{name}" for folder in folders for name in _below(place, folder))


def _below(place: RunFolder, folder: str) -> Iterator[str]:
    try:
        for file in place.below(folder).walk():
            yield file.name
    except FileNotFoundError:
        return


def _find_others(run: RunFolder, started: list[StartedStep], findings: Findings) -> None:
    """Look for files of others in a run; those among a step's were found before."""
    if not all(each.step.of_run for each in started):
        return
    for name in _below(run, ""):
        folder = name.partition("/")[0]
        if name not in OWN_NAMES and folder not in OWN_FOLDERS:
            findings.add("not ours", f"{name}: it stays as it is")


def _find_repeats(run: RunFolder, hashes: np.ndarray, findings: Findings) -> None:
    """Find ids that more than one image of the run has, and the shards they are in."""
    values, counts = np.unique(hashes, return_counts=True)
    repeated = values[counts > 1]
    if not len(repeated):
        return
    places: dict[str, list[int]] = {}
    for shard in done_shards(run, "segment"):
        ids = image_ids(run, shard)
        for image_id in np.array(ids, dtype=object)[np.isin(id_hashes(ids), repeated)]:
            places.setdefault(image_id, []).append(shard)
    for image_id, shards in places.items():
        if len(shards) > 1:  # else another id has the same hash
            findings.add("repeated", f"{image_id} is in shards {', '.join(map(str, shards))}")
