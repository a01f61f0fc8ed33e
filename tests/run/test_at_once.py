"""Commands that begin a run at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from iem_batch.errors import RunMismatchError
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from iem_batch.run.marks import StepRecord, claim, read_record

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


def test_of_two_processes_both_adopt_and_one_claims(tmp_path: Path) -> None:
    """Catches a folder refused for the marker of the other, and two owners of one step."""
    context = get_context("spawn")
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=begin, args=(barrier, str(tmp_path), seed)) for seed in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    for number in range(ROUNDS):
        run = RunFolder(f"{tmp_path}/{number}")
        record = read_record(run, "segment")
        assert record is not None
        assert run.names("goes-on") == [str(record.settings["seed"])]


def test_one_of_many_claims_on_s3(s3_bucket: str) -> None:
    run = RunFolder(f"{s3_bucket}/run")
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda seed: is_claimed(run, seed), range(8)))
    record = read_record(run, "segment")
    assert record is not None
    assert [seed for seed, done in enumerate(claimed) if done] == [record.settings["seed"]]
