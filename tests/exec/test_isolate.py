"""Images that kill the process that works on them, found in real child processes."""

import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import WorkerKilledError
from iem_batch.exec.isolate import do_alone
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import read_killers
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import committed, read_marks
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.registry import up_to
from iem_batch.steps.segment.step import SegmentStep, build
from tests.pictures import textured_disc, write_folder
from tests.steps.jobs import job_at, run_in_process, work_of
from tests.steps.poisoned import PoisonedStep, suffer


@pytest.fixture
def step(tmp_path: Path) -> PoisonedStep:
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    return PoisonedStep(RunFolder(str(tmp_path / "run")), trouble)


def done_ids(step: PoisonedStep, shard: int = 0) -> list[str]:
    ids: list[str] = step.run.read_table(layout.part("segment", shard))["image_id"].to_pylist()
    return ids


def test_without_trouble_there_is_no_trace_of_the_suspicion(step: PoisonedStep) -> None:
    done = do_alone(replace(work_of(step), settings_digest="settings"), 0, 2)
    assert (done.ok, done.attempts, done.settings_digest) == (6, 2, "settings")
    assert not step.run.exists("_run/killers")


def test_the_images_that_kill_are_named_and_their_neighbours_done(step: PoisonedStep) -> None:
    """Three killers of one shard, in the decoder and in the engine, two of them side by side."""
    killers = {"0.1": "segfault", "0.2": "abort", "0.5": "engine"}
    for image_id, kind in killers.items():
        (step.trouble / f"{kind}-{image_id}").touch()
    done = do_alone(work_of(step), 0, 2)
    assert (done.planned, done.ok, done.quarantined) == (6, 3, 3)
    assert done_ids(step) == ["0.0", "0.3", "0.4"]
    assert read_killers(step.run, up_to("segment"), 0) == {
        "0.1": "killed its process by SIGSEGV",
        "0.2": "killed its process by SIGABRT",
        "0.5": "killed its process by SIGSEGV",
    }


def test_an_image_in_the_works_when_somebody_killed_the_process_is_not_blamed(
    step: PoisonedStep,
) -> None:
    """Catches a good image quarantined because of the machine."""
    (step.trouble / "once-0.3").touch()
    assert do_alone(work_of(step), 0, 2).ok == 6
    assert not step.run.exists("_run/killers")


def test_images_that_kill_only_together_are_not_blamed(step: PoisonedStep) -> None:
    """Memory, say: each fits alone."""
    for image_id in ("0.0", "0.5"):
        (step.trouble / f"pair-{image_id}").touch()
    expected = "the shard killed its process by SIGKILL, but no single image of it does; its "
    with pytest.raises(WorkerKilledError, match=expected + r"largest images are 0.0 \(80x64\)"):
        do_alone(work_of(step), 0, 2)
    assert not committed(step.run, "segment")


def test_an_engine_that_always_dies_is_not_the_images_fault(
    step: PoisonedStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a whole collection quarantined because a graphics driver is broken."""
    monkeypatch.setattr("iem_batch.exec.isolate.MAX_KILLERS", 1)
    for image_id in step.image_ids(0):
        (step.trouble / f"engine-{image_id}").touch()
    with pytest.raises(WorkerKilledError, match="more than 1 images of the shard kill"):
        do_alone(work_of(step), 0, 2)
    assert not step.run.exists("_run/killers")


def do_shards_in_a_process(step: PoisonedStep, **limits: float) -> int:
    """Do shards 0 to 2 in a process of their own, as --local does; returns how it ended."""
    code = (
        "import pickle, sys\n"
        "from tests.steps.jobs import run_in_process\n"
        "step, limits = pickle.loads(bytes.fromhex(sys.argv[1]))\n"
        "run_in_process(step, range(3), **limits)\n"
    )
    command = [sys.executable, "-c", code, pickle.dumps((step, limits)).hex()]
    return subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode


def test_a_command_that_an_image_has_killed_finds_it_when_started_again(
    step: PoisonedStep,
) -> None:
    """Catches --local, which has no worker to lose but itself, dying at the same image for ever."""
    (step.trouble / "segfault-1.4").touch()
    assert do_shards_in_a_process(step) == -signal.SIGSEGV
    assert committed(step.run, "segment") == {0}
    assert len(step.run.names(layout.DRIVERS)) == 1
    seen = run_in_process(step, [1, 2])
    assert [(done.shard, done.ok, done.attempts) for done in seen] == [(1, 5, 2), (2, 6, 1)]
    assert list(read_killers(step.run, up_to("segment"), 1)) == ["1.4"]
    assert not step.run.names(layout.DRIVERS)


def test_a_command_that_hangs_ends_and_finds_the_image_when_started_again(
    step: PoisonedStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run that stands still for ever because of one image."""
    monkeypatch.setattr("iem_batch.exec.isolate.MIN_PROBE_TIMEOUT_S", 3.0)
    (step.trouble / "hang-1.0").touch()
    assert do_shards_in_a_process(step, timeout_s=3.0) == 1
    assert committed(step.run, "segment") == {0}
    run_in_process(step, [1, 2], timeout_s=3.0)
    assert [mark.ok for mark in read_marks(step.run, "segment", range(3))] == [6, 5, 6]
    hung = {"1.0": "gave no result within 3 s"}
    assert read_killers(step.run, up_to("segment"), 1) == hung


@dataclass(frozen=True, kw_only=True)
class PoisonedSegmentStep(SegmentStep):
    """The real step, on pictures of which some kill."""

    trouble: Path

    def _compute(self, find: Any, loaded: LoadedShard) -> Any:
        suffer(self.trouble, loaded.image_id)
        return super()._compute(find, loaded)


def test_a_killer_of_the_real_step_is_a_row_and_never_decoded_again(
    tmp_path: Path, segmented: Callable[..., SegmentStep]
) -> None:
    """Catches neighbours that come out otherwise, and a shard done again that dies again."""
    folder, trouble = tmp_path / "photos", tmp_path / "trouble"
    write_folder(folder, [textured_disc(seed) for seed in range(4)])
    trouble.mkdir()
    run, source = RunFolder(str(tmp_path / "run")), open_source(str(folder))
    write_plan(run, source, PlanSettings(shard_size=4))
    built = build(job_at(run))
    parts = {field.name: getattr(built, field.name) for field in fields(built)}
    step = PoisonedSegmentStep(**parts, trouble=trouble)
    (trouble / "segfault-disc_002.png").touch()
    do_alone(work_of(step), 0, 2)
    rows = run.read_table(layout.part("segment", 0)).to_pylist()
    expected = segmented(shard_size=4, name="expected", folder=folder).run
    assert rows == [
        row
        for row in expected.read_table(layout.part("segment", 0)).to_pylist()
        if row["image_id"] != "disc_002.png"
    ]
    [row] = run.read_table(layout.part("quarantine", 0)).to_pylist()
    assert row == {
        "image_id": "disc_002.png",
        "uri": f"{folder}/disc_002.png",
        "error_class": "kills_worker",
        "message": "killed its process by SIGSEGV",
    }
    names = [layout.part("segment", 0), layout.part("quarantine", 0)]
    before = [run.read_bytes(name) for name in names]
    run.delete(layout.mark("segment", 0))
    run_in_process(step, [0])
    assert [run.read_bytes(name) for name in names] == before
