import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from iem_batch.errors import StepMissingError, StorageError
from iem_batch.exec.attempts import Attempt
from iem_batch.exec.journal import Journal, drivers
from iem_batch.processes import machine
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import DRIVERS, failure, mark
from iem_batch.run.marks import read_mark, write_mark
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.tools.status import (
    images_per_second,
    run_status,
    status_json,
    status_notes,
    status_table,
)
from tests.steps.jobs import job_at

Segmented = Callable[..., SegmentStep]


def test_counts_what_is_committed(segmented: Segmented) -> None:
    run = segmented(shard_size=5).run
    masks, *others = run_status(job_at(run))
    assert (masks.state, masks.shards_done, masks.num_shards, masks.ok) == ("done", 3, 3, 12)
    assert {step.step: step.num_shards for step in others} == {
        "fuse": 3,
        "topk": None,
        "export": None,
        "train": None,
        "predict": 3,
        "refine": 3,
        "upscale": 3,
        "evaluate": None,
        "report": None,
    }
    optional = {step.step for step in others if step.state == "not asked for"}
    assert optional == {"upscale", "evaluate"}
    assert {step.state for step in others if step.step not in optional} == {"not started"}


def test_a_run_that_was_stopped(segmented: Segmented) -> None:
    """Catches a half-finished run that looks finished, or that looks as if it were at work."""
    run = segmented(shard_size=5).run
    run.delete(mark("segment", 1))
    masks = run_status(job_at(run))[0]
    assert (masks.state, masks.shards_done, masks.shards_left, masks.ok) == ("partly done", 2, 1, 7)
    assert (masks.shards_running, masks.seconds_left) == (0, None)


def test_a_run_at_work(segmented: Segmented) -> None:
    """Worked by hand: 7 images a second, one of three shards with 5 + 2 images done left."""
    run = segmented(shard_size=5).run
    run.delete(mark("segment", 0))
    for shard, finished in ((1, 100.0), (2, 102.0)):
        done = replace(read_mark(run, "segment", shard), finished=finished, seconds=2.0)
        write_mark(run, "segment", done)
    with Journal(run, run, "segment", in_process=True) as journal:
        attempts = journal.open_attempts([0], 3)
        attempts.start()
        journal.started()
        masks = run_status(job_at(run))[0]
        assert (masks.state, masks.shards_running, masks.shards_left) == ("running", 1, 1)
        # Shard 2 has 2 images and took 2 s after shard 1; a shard has 3.5 images in the mean.
        assert masks.seconds_left == pytest.approx(3.5 / 1)
        at_work, to_go = status_notes([masks])
        assert f"process {os.getpid()} on {socket.gethostname()} is at work" in at_work
        assert to_go == "segment: 1 shard in flight, about 0 min to go"
        assert status_table([masks]).row_count == 1
    assert run_status(job_at(run))[0].state == "partly done"


def test_a_shard_that_failed(segmented: Segmented) -> None:
    run = segmented(shard_size=5).run
    run.delete(mark("segment", 2))
    with Journal(run, run, "segment", in_process=True) as journal:
        journal.failed(
            Attempt(shard=2, number=3, alone=False),
            "StorageError: no route",
            StorageError("no route"),
        )
    masks = run_status(job_at(run))[0]
    assert (masks.state, masks.failed) == ("failed", {2: "StorageError: no route"})
    assert status_notes([masks]) == ["segment: shard 2 failed: StorageError: no route"]
    # Done after all by a command that was killed before it could tidy up.
    write_mark(run, "segment", replace(read_mark(run, "segment", 1), shard=2))
    assert run.exists(failure("segment", 2))
    assert run_status(job_at(run))[0].state == "done"


def test_rate_is_that_between_the_first_and_the_last_commit() -> None:
    """Worked by hand: 5 + 2 images are committed in the 3.5 s after the first shard."""
    assert images_per_second([(100.0, 5, 2.0), (102.0, 5, 2.0), (103.5, 2, 1.0)]) == 7 / 3.5


def test_pauses_and_jumps_of_the_clock_do_not_count_as_work() -> None:
    """Catches a rate of nearly 0, and days left, after a night's pause or a clock set wrong."""
    steady = [(100.0 + 2 * shard, 5, 2.0) for shard in range(10)]
    assert images_per_second(steady) == 2.5
    paused = [*steady[:5], *((time + 1e6, images, s) for time, images, s in steady[5:])]
    assert images_per_second(paused) == 2.5
    set_back = [*steady[:5], *((time - 3600, images, s) for time, images, s in steady[5:])]
    assert images_per_second(set_back) == 2.5
    assert images_per_second([(100.0, 5, 2.0)] * 3) is None
    assert images_per_second([]) is None


def test_dead_commands_are_not_at_work(tmp_path: Path) -> None:
    """Catches a command that was killed a week ago shown as running, or another of its number."""
    run = RunFolder(str(tmp_path / "run"))
    record = {"step": "segment", "in_process": True, "in_flight": {"3": 1}}
    here = {"host": socket.gethostname(), "machine": machine(), "seen": time.time()}
    far = {"host": "elsewhere", "machine": "x", "pid": 1, "born": "1"}
    container = here | {"machine": "y", "pid": 2**22 - 1, "born": "0"}
    cases = {
        "another of its number": (here | {"pid": os.getpid(), "born": "0"}, False),
        "gone": (here | {"pid": 2**22 - 1, "born": "0"}, False),
        "silent": (far | {"seen": time.time() - 3600}, False),
        "a container of the same name": (container, True),
        "elsewhere": (far | {"seen": time.time()}, True),
        "its clock is ahead": (far | {"seen": time.time() + 1e6}, True),
    }
    for driver, alive in cases.values():
        run.write_json(f"{DRIVERS}/x.json", record | driver)
        [found] = drivers(run)
        assert found.alive == alive


def test_json_is_the_same(segmented: Segmented) -> None:
    steps = run_status(job_at(segmented(shard_size=5).run))
    assert [(row["step"], row["state"]) for row in json.loads(status_json(steps))] == [
        (step.step, step.state) for step in steps
    ]


def test_without_a_plan(tmp_path: object) -> None:
    with pytest.raises(StepMissingError, match="iem-batch plan"):
        run_status(job_at(RunFolder(f"{tmp_path}/run")))
