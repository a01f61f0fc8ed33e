"""Checking that a run folder is what its plan and its commit marks say, from the bytes up.

Every file that a mark names is read and hashed again, its rows are counted and compared with the
plan, and whatever lies in a data folder without being named by a mark is reported. Shards are
checked by threads, a few at a time; what grows with the run is eight bytes for each image, by which
an id that comes twice is found.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from iem_batch.run.run_folder import ROUND_STEPS, RunFolder

from iem_batch.run import layout
from iem_batch.run.plan import Plan, read_plan
from iem_batch.sources import Source
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.export.step import num_corpus_files
from iem_batch.storage.folder import Folder
from iem_batch.storage.local_files import is_unfinished_write
from iem_batch.storage.read_ahead import LARGE_REQUESTS, map_ahead
from iem_batch.tools.shard_check import CheckedShard, check_shard, id_hashes, image_ids

EXAMPLES = 10
"""Findings of one kind that are told one by one; the others are counted."""

SHARD_STEPS = ("masks", "corpus", "predictions", "refined", "upscaled")


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

    def absorb(self, others: "Findings", prefix: str) -> None:
        """Add what was found elsewhere; the prefix of each message says where."""
        for kind, count in others.counts.items():
            for message in others.examples[kind]:
                self.add(kind, prefix + message)
            self.counts[kind] += count - len(others.examples[kind])

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

    findings: Findings
    num_files: int
    """Files that were read and hashed."""
    num_bytes: int
    num_images: int
    """Images that have masks or are in the quarantine."""


def verify(run: RunFolder, export: ExportSettings, source: Source | None) -> Verification:
    """Check a run.

    Args:
        run: a planned run.
        export: how its corpus is cut into files.
        source: where the images are, to compare the ids of all images with those there; without
            it, ids are compared where the plan has them (one file for each image), and counts
            elsewhere.

    Raises:
        StepMissingError: the run has not been planned.
    """
    plan = read_plan(run)
    total = _verify_place(run, SHARD_STEPS, plan, export, source)
    _check_success(run, plan, total.findings)
    for place in run.earlier_rounds():
        steps = [step for step in SHARD_STEPS if step in ROUND_STEPS]
        earlier = _verify_place(place, steps, plan, export, source)
        total.findings.absorb(earlier.findings, f"round {place.earlier_round}: ")
        total = replace(
            total,
            num_files=total.num_files + earlier.num_files,
            num_bytes=total.num_bytes + earlier.num_bytes,
        )
    return total


def _verify_place(
    run: RunFolder,
    steps: Iterable[str],
    plan: Plan,
    export: ExportSettings,
    source: Source | None,
) -> Verification:
    """Check some steps and the selection of a run, or of an earlier round."""
    findings = Findings()
    num_files = num_bytes = 0
    hashes: list[np.ndarray] = []
    for step in steps:
        if not run.exists(layout.step_record(step)) and not run.committed(step):
            continue
        num_shards = _num_shards(run, step, plan, export)
        named: set[str] = set()
        for checked in _each_shard(run, step, num_shards, source, findings):
            named |= checked.files.keys()
            num_files += len(checked.files)
            num_bytes += sum(checked.files.values())
            if step == "masks":
                hashes.append(checked.id_hashes)
            for kind, message in checked.findings:
                findings.add(kind, message)
        _find_foreign(run, step, num_shards, named, findings)
    every = np.concatenate(hashes) if hashes else np.empty(0, np.uint64)
    _find_repeats(run, plan, every, findings)
    if run.committed("selection"):
        for kind, message in check_shard(run, "selection", None, 0).findings:
            findings.add(kind, message)
    return Verification(
        findings=findings, num_files=num_files, num_bytes=num_bytes, num_images=len(every)
    )


def _num_shards(run: RunFolder, step: str, plan: Plan, export: ExportSettings) -> int:
    if step != "corpus":
        return plan.num_shards
    return num_corpus_files(run, export) if run.exists(layout.TOPK) else 0


def _each_shard(
    run: RunFolder, step: str, num_shards: int, source: Source | None, findings: Findings
) -> Iterator[CheckedShard]:
    committed = run.committed(step)
    missing = sorted(set(range(num_shards)) - committed)
    if missing:
        findings.add(
            "not done", f"{len(missing):,} of {num_shards:,} shards of {step}, first {missing[0]}"
        )
    check = partial(check_shard, run, step, source)
    done = sorted(committed & set(range(num_shards)))
    return map_ahead(check, done, num_threads=LARGE_REQUESTS)


def _find_foreign(
    run: RunFolder, step: str, num_shards: int, named: set[str], findings: Findings
) -> None:
    """Look for files that no commit mark names, and for marks of shards that are not planned."""
    committed = run.committed(step)
    for folder in (step, "quarantine") if step == "masks" else (step,):
        try:
            for file in Folder(run.url_of(folder)).walk():
                base = file.name.rpartition("/")[2]
                name = f"{folder}/{file.name}"
                if name in named or is_unfinished_write(base):
                    continue  # what an interrupted write has left is deleted by the next command
                shard = layout.shard_of(base)
                if shard is not None and shard < num_shards and shard not in committed:
                    findings.add("half done", f"{name}: its shard has no commit mark yet")
                else:
                    findings.add("foreign", f"{name}: no commit mark names it")
        except FileNotFoundError:
            continue
    for base in run.names(f"_run/stats/{step}"):
        shard = layout.shard_of(base)
        if shard is None or shard >= num_shards:
            findings.add("foreign", f"_run/stats/{step}/{base}: no shard of the plan")


def _check_success(run: RunFolder, plan: Plan, findings: Findings) -> None:
    missing = plan.num_shards - len(run.committed("masks"))
    if run.exists(layout.SUCCESS) and missing > 0:
        findings.add(
            "success", f"{layout.SUCCESS} is there, but {missing:,} shards of masks are not"
        )


def _find_repeats(run: RunFolder, plan: Plan, hashes: np.ndarray, findings: Findings) -> None:
    """Find ids that more than one image of the run has, and the shards they are in."""
    values, counts = np.unique(hashes, return_counts=True)
    repeated = values[counts > 1]
    if not len(repeated):
        return
    places: dict[str, list[int]] = {}
    for shard in sorted(run.committed("masks")):
        ids = image_ids(run, shard)
        for image_id in np.array(ids, dtype=object)[np.isin(id_hashes(ids), repeated)]:
            places.setdefault(image_id, []).append(shard)
    for image_id, shards in places.items():
        if len(shards) > 1:  # else another id has the same hash
            findings.add("repeated", f"{image_id} is in shards {', '.join(map(str, shards))}")
