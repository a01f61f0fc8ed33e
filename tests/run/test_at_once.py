"""Commands that begin a run at the same moment."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from iem_batch.errors import RunMismatchError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from iem_batch.run.marks import StepRecord, claim, read_record
from iem_batch.run.plan import read_plan, shard_entries
from iem_batch.run.settings import PlanSettings
from iem_batch.tools.plan import plan
from tests.growing import CutOffError, killed_after
from tests.steps.jobs import job_at

ROUNDS = 50
"""Without a file that only one can create, every third of them went wrong."""


def begin(barrier: Barrier, root: str, seed: int) -> None:
    """Begin runs in step with another process; a file of each says that this one may go on."""
    for number in range(ROUNDS):
        run = RunFolder(f"{root}/{number}")
        barrier.wait(60)
        adopt(run, "run")
        barrier.wait(60)
        if is_claimed(run, seed):
            run.write_bytes(f"goes-on/{seed}", b"")


def is_claimed(run: RunFolder, seed: int) -> bool:
    try:
        claim(run, "segment", StepRecord(num_shards=1, settings={"seed": seed}, versions={}))
    except RunMismatchError:
        return False
    return True


def in_step(work: Callable[[Barrier, str, int], None], root: str, each: tuple[int, int]) -> None:
    """Do work in two processes that wait for one another."""
    context = get_context("spawn")
    barrier = context.Barrier(2)
    processes = [context.Process(target=work, args=(barrier, root, number)) for number in each]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def test_of_two_processes_both_adopt_and_one_claims(tmp_path: Path) -> None:
    """Catches a folder refused for the marker of the other, and two owners of one step."""
    in_step(begin, str(tmp_path), (0, 1))
    for number in range(ROUNDS):
        run = RunFolder(f"{tmp_path}/{number}")
        record = read_record(run, "segment")
        assert record is not None
        assert run.names("goes-on") == [str(record.settings["seed"])]


def begin_plans(barrier: Barrier, root: str, shard_size: int) -> None:
    """Plan folders in step with another process; a file of each says what came of it."""
    for number in range(ROUNDS):
        job = job_at(RunFolder(f"{root}/{number}"), plan=PlanSettings(shard_size=shard_size))
        barrier.wait(60)
        try:
            plan(job, f"{root}/photos")
            said = ""
        except RunMismatchError as error:
            said = str(error)
        barrier.wait(60)
        job.run.write_bytes(f"said/{shard_size}", said.encode())


def test_of_two_plans_with_other_settings_one_is_made(tmp_path: Path) -> None:
    """Catches the manifest of one under the plan of the other."""
    (tmp_path / "photos").mkdir()
    for number in range(40):
        (tmp_path / f"photos/{number:02d}.png").touch()
    in_step(begin_plans, str(tmp_path), (3, 7))
    for number in range(ROUNDS):
        run = RunFolder(f"{tmp_path}/{number}")
        made = read_plan(run)
        sizes = [len(shard_entries(run, shard)) for shard in range(made.num_shards)]
        assert sum(sizes) == 40
        assert max(sizes) == made.shard_size
        said = {size: run.read_bytes(f"said/{size}").decode() for size in (3, 7)}
        assert said.pop(made.shard_size) == ""
        (refused,) = said.values()
        is_late = "was planned differently" in refused
        assert is_late or re.fullmatch(r"process \d+ on .* is planning .*shard_size: .*", refused)
        assert run.names("_run") == ["config.yaml", "plan.json", "run.json"]


def test_a_plan_that_a_kill_has_cut_off_binds_nobody(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    job = job_at(RunFolder(str(tmp_path / "run")), plan=PlanSettings(shard_size=3))
    with pytest.raises(CutOffError), killed_after(3) as done:
        plan(job, f"{tmp_path}/photos")
    assert done[-1] == layout.PLANNING
    plan(job_at(job.run, plan=PlanSettings(shard_size=7)), f"{tmp_path}/photos")
    assert read_plan(job.run).shard_size == 7
    assert not job.run.exists(layout.PLANNING)


def test_one_of_many_claims_on_s3(s3_bucket: str) -> None:
    run = RunFolder(f"{s3_bucket}/run")
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda seed: is_claimed(run, seed), range(8)))
    record = read_record(run, "segment")
    assert record is not None
    assert [seed for seed, done in enumerate(claimed) if done] == [record.settings["seed"]]
