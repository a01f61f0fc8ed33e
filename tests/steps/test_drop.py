"""Dropping a step and what was made of it, over the rounds of a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from iem_batch.errors import RunMismatchError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Mark, StepRecord, committed, read_record, write_mark, write_record
from iem_batch.steps.do import do, drop
from iem_batch.steps.registry import STEPS
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.topk.settings import TopkSettings
from tests.steps.jobs import job_at

OF_RUN = [step.name for step in STEPS.values() if step.of_run]


def begin(place: RunFolder, *steps: str) -> None:
    """Write what a step of one shard leaves, of nothing that makes sense."""
    for step in steps:
        write_record(place, step, StepRecord(num_shards=1, settings={}, versions={}))
        name = layout.part(step, 0)
        mark = Mark(
            shard=0,
            planned=1,
            ok=1,
            quarantined=0,
            files={name: place.write_bytes(name, b"1")},
            settings_digest="",
            attempts=1,
            seconds=1.0,
            finished=2.0,
            host="here",
        )
        write_mark(place, step, mark)


def begun(place: RunFolder) -> list[str]:
    return [step for step in OF_RUN if read_record(place, step) is not None]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Of three rounds."""
    topk = TopkSettings(masks="predict", rounds=3)
    return job_at(RunFolder(str(tmp_path / "run")), topk=topk)


def test_later_steps_are_dropped_with_it_and_earlier_ones_stay(job: Job) -> None:
    """Masks of SegNet made from a corpus that is gone would look current."""
    job = job.in_round(1)
    begin(job.run, *OF_RUN)
    job.run.write_bytes(layout.killers(0), b"{}")
    drop(job, "export")
    assert begun(job.run) == ["segment", "fuse", "topk"]
    kept = [step for step in OF_RUN if job.run.exists(step) or committed(job.run, step)]
    assert kept == ["segment", "fuse", "topk"]
    assert job.run.exists(layout.killers(0))
    drop(job, "segment")
    assert begun(job.run) == []
    assert not any(job.run.exists(step) for step in OF_RUN)
    assert not job.run.exists(layout.killers(0))


def test_an_image_held_back_by_another_step_is_forgotten_with_segment_alone(job: Job) -> None:
    begin(job.run, "segment", "predict")
    job.run.write_bytes(layout.killers(0), b"{}")
    drop(job.in_round(1), "predict")
    assert job.run.exists(layout.killers(0))


def test_what_comes_after_a_round_is_dropped_with_it(job: Job) -> None:
    places = {number: job.place_of(number) for number in (1, 2, 3)}
    both = ["topk", "train"]

    def fill() -> None:
        begin(job.run, "segment", "report")
        for place in places.values():
            begin(place, *both)

    def left() -> dict[int, list[str]]:
        found = {number: begun(place) for number, place in places.items()}
        return {number: steps for number, steps in found.items() if steps}

    fill()
    drop(job.in_round(3), "train")
    assert left() == {1: ["segment", *both], 2: both, 3: ["topk"]}
    fill()
    drop(job.in_round(2), "train")
    assert left() == {1: ["segment", *both], 2: ["topk"]}
    fill()
    drop(job.in_round(1), "train")
    assert left() == {1: ["segment", "topk"]}
    fill()
    drop(job, "segment")
    assert left() == {}
    assert not any(found.name.startswith("rounds/") for found in job.run.walk())


def test_a_round_has_its_own_steps_and_the_first_lies_in_the_usual_places(job: Job) -> None:
    """Catches marks or settings of one round that are read in another."""
    begin(job.place, "topk")
    assert job.place.url == f"{job.run.url}/rounds/3"
    assert job.place_of(1) == job.run
    assert [committed(job.place_of(number), "topk") for number in (1, 2, 3)] == [set(), set(), {0}]
    assert job.run.exists("rounds/3/_run/stats/topk/part-00000.json")


def test_a_drop_cut_off_is_finished_when_the_step_is_done_again(segmented) -> None:
    """Catches shards taken for done whose files are gone."""
    step: SegmentStep = segmented()
    run = step.run
    names = [f"segment/{name}" for name in run.names("segment")]
    before = {name: run.read_bytes(name) for name in names}
    record = read_record(run, "segment")
    assert record is not None
    write_record(run, "segment", replace(record, is_dropped=True))
    run.delete(names[0], layout.summary("segment"))
    do(job_at(run), "segment")
    assert {name: run.read_bytes(name) for name in names} == before
    assert read_record(run, "segment") == record


def test_nothing_is_dropped_under_a_command_at_work(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(job.run, "segment")

    def at_work(self: Job) -> None:
        raise RunMismatchError("process 1 is at work on it")

    monkeypatch.setattr(Job, "require_alone", at_work)
    with pytest.raises(RunMismatchError, match="at work"):
        drop(job, "segment")
    assert begun(job.run) == ["segment"]
