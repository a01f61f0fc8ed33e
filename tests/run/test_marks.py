"""What a step leaves beside its output: one reader and one writer of each record."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import (
    IntegrityError,
    RunMismatchError,
    ShardsFailedError,
    StepMissingError,
    StorageError,
)
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import (
    Failure,
    Mark,
    StepRecord,
    Summary,
    add_up,
    claim,
    committed,
    read_failures,
    read_mark,
    read_marks,
    read_record,
    read_summary,
    require_summary,
    write_failure,
    write_mark,
    write_record,
    write_summary,
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def mark(shard: int, **of: Any) -> Mark:
    usual = {
        "planned": 5,
        "ok": 3,
        "quarantined": 2,
        "files": {layout.part("segment", shard): f"sha of {shard}"},
        "settings_digest": "ours",
        "attempts": 1,
        "seconds": 2.0,
        "finished": 100.0 + shard,
        "host": "here",
    }
    return Mark(shard=shard, **usual | of)


def record(settings: dict[str, Any], **of: Any) -> StepRecord:
    return StepRecord(num_shards=2, settings=settings, versions={"pyarrow": "25"}, **of)


def first_of_each(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"all": [fact.get("own") for fact in facts]}


# --- round trips ---


def test_marks_come_back_as_they_were(run: RunFolder) -> None:
    written = mark(100_000, facts={"sides": {"12": {"count": 3, "sum_error": 0.1 + 0.2}}})
    write_mark(run, "segment", written)
    assert read_mark(run, "segment", 100_000) == written
    assert run.exists("_run/stats/segment/part-100000.json")


def test_records_come_back_as_they_were(run: RunFolder) -> None:
    written = record({"iem": {"lambda": 0.001}, "masks": None}, is_dropped=True)
    assert read_record(run, "segment") is None
    write_record(run, "segment", written)
    assert read_record(run, "segment") == written


def test_summaries_come_back_as_they_were(run: RunFolder) -> None:
    written = Summary(
        num_shards=2,
        planned=10,
        ok=6,
        quarantined=4,
        files={"README.md": "sha"},
        outputs_digest="0f",
        facts={"pairs": [1, 2], "ö": None},
        seconds=1.125,
        began=99.5,
        finished=101.0,
    )
    assert read_summary(run, "export") is None
    write_summary(run, "export", written)
    assert read_summary(run, "export") == written


def test_failures_are_those_of_shards_that_are_not_done(run: RunFolder) -> None:
    written = [
        Failure(shard=shard, attempts=3, error=f"no route to {shard}", time=1.5, host="here")
        for shard in (1, 2)
    ]
    assert read_failures(run, "segment") == {}
    for failure in written:
        write_failure(run, "segment", failure)
    assert read_failures(run, "segment") == {1: written[0], 2: written[1]}
    write_mark(run, "segment", mark(1))
    assert read_failures(run, "segment") == {2: written[1]}


# --- marks ---


def test_committed_shards_of_each_step(run: RunFolder) -> None:
    assert committed(run, "segment") == set()
    for shard in (0, 2, 100_000):
        write_mark(run, "segment", mark(shard))
    write_mark(run, "refine", mark(1))
    assert committed(run, "segment") == {0, 2, 100_000}
    assert [found.shard for found in read_marks(run, "segment", [100_000, 0])] == [100_000, 0]


def test_foreign_files_among_the_marks_are_no_shards(run: RunFolder) -> None:
    write_mark(run, "segment", mark(3))
    for name in ("notes.txt", "part-1.json", "part-00002.json.bak"):
        run.write_bytes(f"_run/stats/segment/{name}", b"")
    assert committed(run, "segment") == {3}


def test_marks_are_read_in_order_and_none_is_lost(run: RunFolder) -> None:
    """More than the readers hold at once, in an order that is not the order of the names."""
    shards = list(range(200, 0, -1))
    for shard in shards:
        write_mark(run, "segment", mark(shard))
    assert [found.shard for found in read_marks(run, "segment", shards)] == shards


@pytest.mark.parametrize("counts", [(5, 3, 1), (5, 4, 2), (0, 0, 1)])
def test_a_mark_with_a_lost_image_cannot_be_made(counts: tuple[int, int, int]) -> None:
    planned, ok, quarantined = counts
    with pytest.raises(IntegrityError, match="they do not add up"):
        mark(4, planned=planned, ok=ok, quarantined=quarantined)


def test_counts_are_checked_by_an_optimised_python_too() -> None:
    """Catches a check made by `assert`, which python -O leaves out."""
    code = (
        "from iem_batch.errors import IntegrityError\n"
        "from iem_batch.exec.step import ShardOutput\n"
        "from iem_batch.run.marks import Mark\n"
        "counts = dict(shard=0, planned=3, ok=1, quarantined=1)\n"
        "rest = dict(settings_digest='', attempts=1, seconds=0, finished=0, host='')\n"
        "for make in (lambda: Mark(**counts, files={}, **rest),\n"
        "             lambda: ShardOutput(**counts, tables={})):\n"
        "    try:\n"
        "        make()\n"
        "    except IntegrityError:\n"
        "        print('refused', __debug__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["refused False"] * 2


@pytest.mark.parametrize(
    "change",
    [{"ok": 2}, {"unknown": 1}, {"files": None, "shard": None, "planned": "many"}],
    ids=["counts", "unknown", "kinds"],
)
def test_a_mark_that_cannot_be_used_is_named(run: RunFolder, change: dict[str, Any]) -> None:
    """Catches a traceback, and sums over a mark of which nobody knows what it says."""
    run.write_json(layout.mark("segment", 0), asdict(mark(0)) | change)
    with pytest.raises(StorageError, match=r"/stats/segment/part-00000.json cannot be used"):
        read_mark(run, "segment", 0)


def test_a_mark_cut_off_is_named(run: RunFolder) -> None:
    run.write_bytes(layout.mark("segment", 0), b'{"shard": 0')
    with pytest.raises(StorageError, match=r"/stats/segment/part-00000.json is damaged"):
        read_mark(run, "segment", 0)


# --- claims ---


def test_step_is_resumed_with_the_same_settings(run: RunFolder) -> None:
    own = record({"iem": {"lambda": 0.001, "sides": (44, 78)}, "seed": 0})
    assert claim(run, "segment", own) == own
    assert claim(run, "segment", own) == own
    assert claim(run, "segment", own).digest == own.digest


def test_step_with_other_settings_is_refused_with_the_difference(run: RunFolder) -> None:
    before = record({"iem": {"lambda": 0.001, "sigma": 5.0}, "seed": 0})
    claim(run, "segment", before)
    now = record({"iem": {"lambda": 0.0, "sigma": 5.0}, "extra": 1, "seed": 0})
    with pytest.raises(RunMismatchError) as caught:
        claim(run, "segment", now)
    message = str(caught.value)
    assert f"{run.url}/segment was begun with other settings" in message
    assert "  iem.lambda: 0.001 before, 0.0 now" in message
    assert "  extra: None before, 1 now" in message
    assert "sigma" not in message
    assert "seed" not in message
    assert read_record(run, "segment") == before
    assert before.digest != now.digest


def test_step_with_another_number_of_shards_is_refused(run: RunFolder) -> None:
    claim(run, "export", record({}))
    with pytest.raises(RunMismatchError, match="num_shards: 2 before, 3 now"):
        claim(run, "export", replace(record({}), num_shards=3))


def test_other_versions_are_refused_unless_accepted(run: RunFolder) -> None:
    """A run that goes on under a new pyarrow has files that no single version would write."""
    old = record({"seed": 0})
    new = replace(old, versions={"pyarrow": "26"})
    claim(run, "segment", old)
    with pytest.raises(RunMismatchError, match="with other versions:\n  pyarrow: '25' before"):
        claim(run, "segment", new)
    other = replace(new, settings={"seed": 1})
    with pytest.raises(RunMismatchError, match="seed: 0 before, 1 now"):
        claim(run, "segment", other, accept_versions=True)
    assert claim(run, "segment", new, accept_versions=True) == new
    assert claim(run, "segment", new) == new
    assert new.digest == old.digest, "what was done before counts"


def test_of_two_commands_that_begin_at_once_one_is_refused(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a store that cannot tell whether there is a file, the later one stands."""
    ours, theirs = record({"seed": 0}), record({"seed": 1})

    def overtaken(self: RunFolder, name: str, value: Any) -> None:
        self.write_json(name, value)
        self.write_json(name, asdict(theirs))

    monkeypatch.setattr(RunFolder, "create_json", overtaken)
    with pytest.raises(RunMismatchError, match="seed: 1 before, 0 now"):
        claim(run, "segment", ours)


# --- sums ---


def test_sums_over_the_marks(run: RunFolder) -> None:
    write_mark(run, "segment", mark(0, facts={"own": 7}))
    write_mark(run, "segment", mark(1, planned=1, ok=1, quarantined=0, seconds=0.5))
    whole = add_up(run, "segment", range(2), first_of_each, "ours")
    assert (whole.num_shards, whole.planned, whole.ok, whole.quarantined) == (2, 6, 4, 2)
    assert (whole.seconds, whole.began, whole.finished) == (2.5, 98.0, 101.0)
    assert whole.facts == {"all": [7, None]}


def test_digest_depends_on_the_files_and_not_on_the_clock(run: RunFolder) -> None:
    def digest(**of: Any) -> str:
        for shard in range(3):
            write_mark(run, "segment", mark(shard, **of))
        return add_up(run, "segment", range(3), first_of_each).outputs_digest

    first = digest()
    assert digest(finished=5.0, seconds=1.0, host="there", attempts=2) == first
    assert digest(files={layout.part("segment", 0): "another sha"}) != first
    assert digest(files={layout.part("segment", 9): "sha of 0"}) != first


def test_marks_of_a_command_with_other_settings_are_refused(run: RunFolder) -> None:
    """Catches two commands begun at the same instant with different settings, whose shards mix."""
    for shard, digest in enumerate(["ours", "theirs", "ours"]):
        write_mark(run, "segment", mark(shard, settings_digest=digest))
    assert add_up(run, "segment", range(3), first_of_each).planned == 15
    with pytest.raises(RunMismatchError, match="1 shard of .*, the first is 1"):
        add_up(run, "segment", range(3), first_of_each, "ours")


def test_a_step_that_must_have_finished(run: RunFolder) -> None:
    with pytest.raises(StepMissingError, match="run `iem-batch segment` first"):
        require_summary(run, "segment")
    write_record(run, "segment", replace(record({}), num_shards=3))
    write_mark(run, "segment", mark(1))
    with pytest.raises(ShardsFailedError, match=r"2 of 3 shards of .*/segment are not done, .* 0;"):
        require_summary(run, "segment")
    whole = add_up(run, "segment", [1], first_of_each)
    write_summary(run, "segment", whole)
    assert require_summary(run, "segment") == whole
