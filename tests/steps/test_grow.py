"""Steps over a plan that has grown: what is done stays, what is new is done, nothing is mixed."""

import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import RunMismatchError, ShardsFailedError
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_mark, read_record, read_summary
from iem_batch.run.plan import PlanSettings, read_plan
from iem_batch.segnet.settings import TrainSettings
from iem_batch.steps.do import do
from iem_batch.steps.report.step import PAGE
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.tools import pipeline
from iem_batch.tools.plan import ensure_plan, plan
from iem_batch.tools.status import run_status
from iem_batch.tools.verify import check
from tests.growing import (
    IN_PIECES,
    KINDS,
    CutOffError,
    Growing,
    contents,
    killed_after,
    pictures,
    rows,
)
from tests.steps.jobs import job_at

SMALL: dict[str, Any] = {
    "plan": PlanSettings(shard_size=4),
    "train": TrainSettings(epochs=1, batch_size=4),
    "topk": TopkSettings(fraction=0.5),
}
OF_PLAN = ("segment", "fuse", "predict", "refine")


@pytest.fixture
def folder(tmp_path: Path) -> Growing:
    return Growing("folder", str(tmp_path))


def job_of(collection: Growing, name: str = "run", **further: Any) -> Job:
    return job_at(RunFolder(f"{collection.root}/{name}"), **SMALL, **further)


def states(job: Job) -> dict[str, tuple[str, int, int | None]]:
    return {row.step: (row.state, row.shards_done, row.num_shards) for row in run_status(job)}


def make(job: Job) -> None:
    for step in ("segment", "fuse"):
        do(job, step)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_those_of_a_run_planned_whole(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Catches images done twice, left out or mixed up over three extensions, and files touched."""
    is_remote = kind.startswith("s3")
    collection = Growing(kind, request.getfixturevalue("s3_bucket") if is_remote else str(tmp_path))
    job = job_of(collection)
    first, *further = collection.stages
    ensure_plan(job, collection.write(pictures(first)), "run")
    make(job)
    for count in further:
        source = collection.write(pictures(count))
        before = {name: contents(job.run, name) for name in ("segment", "fuse", "_run/stats")}
        ensure_plan(job, source, "run", extend=True)
        make(job)
        for folder, files in before.items():
            after = contents(job.run, folder)
            assert {name: after[name] for name in files} == files
            assert len(after) > len(files)
    whole = job_of(collection, "whole")
    ensure_plan(whole, source, "run")
    make(whole)
    for step in ("segment", "fuse"):
        expected = rows(whole.run, step)
        assert len(expected) == further[-1] * (2 if step == "segment" else 1)
        assert rows(job.run, step) == expected
    assert check(job, None).findings.lines() == []
    summary = read_summary(job.run, "segment")
    assert summary is not None
    assert (summary.ok, summary.num_shards) == (further[-1], read_plan(job.run).num_shards)


@pytest.mark.parametrize("kind", [kind for kind in IN_PIECES if not kind.startswith("s3")])
def test_masks_of_images_that_are_gone_stay(tmp_path: Path, kind: str) -> None:
    collection = Growing(kind, str(tmp_path))
    job = job_of(collection)
    first, second, *_ = collection.stages
    ensure_plan(job, source := collection.write(pictures(first)), "run")
    make(job)
    before = rows(job.run, "segment")
    collection.write(pictures(second))
    gone = collection.delete_first(source)
    ensure_plan(job, source, "run", extend=True)
    make(job)
    after = rows(job.run, "segment")
    assert {key: after[key] for key in before} == before
    assert set(gone) <= {image_id for image_id, _ in before}
    assert len(after) == 2 * second
    whole = job_of(collection, "whole")
    ensure_plan(whole, source, "run")
    do(whole, "segment")
    expected = rows(whole.run, "segment")
    assert {key: row for key, row in after.items() if key[0] not in gone} == expected


def test_what_was_made_without_the_new_images_is_named_and_redone_when_it_is_asked_for(
    folder: Growing, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a selection or a network that looks current, and one that is redone unasked."""
    job = job_of(folder)
    pipeline.run(job, folder.write(pictures(9)))
    before = contents(job.run)
    assert states(job)["segment"] == ("done", 3, 3)
    source = folder.write(pictures(14))
    with pytest.raises(RunMismatchError, match="5 new images .* --extend adds what is new"):
        pipeline.run(job, source)
    assert contents(job.run) == before
    capsys.readouterr()
    plan(job, source, extend=True)
    said = capsys.readouterr().out
    for step in ("segment", "fuse"):
        assert (
            f"{step}: 2 new shards; topk, export, train were made without them and stay as "
            "they are until `iem-batch topk --overwrite`"
        ) in said
    assert all(states(job)[step] == ("partly done", 3, 5) for step in OF_PLAN)
    assert all(states(job)[step][0] == "done" for step in ("topk", "export", "train", "report"))
    missing = check(job, None).findings.lines()
    assert missing == [f"not done: 2 of 5 shards of {step}, first 3" for step in OF_PLAN]
    with pytest.raises(ShardsFailedError, match="2 of 5 shards of .*segment are not done"):
        do(job, "fuse")
    with pytest.raises(ShardsFailedError, match="2 of 5 shards of .*fuse are not done"):
        do(job, "topk")

    with pytest.raises(RunMismatchError, match=r"topk was begun with other settings:\n  masks: "):
        pipeline.run(job, source)
    made = ("segment/", "fuse/", "topk/", "export/", "train/", "predict/")
    kept = {name: file for name, file in before.items() if name.startswith(made)}
    assert {name: contents(job.run)[name] for name in kept} == kept
    assert states(job)["segment"] == states(job)["fuse"] == ("done", 5, 5)

    pipeline.run(job_of(folder, overwrite=True), source)
    assert {state for state, _, _ in states(job).values()} <= {"done", "not asked for"}
    assert check(job, None).findings.lines() == []
    assert "14" in job.run.read_bytes(PAGE).decode()
    masks = ("segment/", "fuse/")
    after = contents(job.run)
    assert {n: f for n, f in kept.items() if n.startswith(masks)}.items() <= after.items()
    whole = job_of(folder, "whole")
    pipeline.run(whole, source)
    for step in OF_PLAN:
        assert rows(job.run, step) == rows(whole.run, step)
    assert (
        job.run.read_table("topk/topk.parquet")["image_id"]
        == (whole.run.read_table("topk/topk.parquet")["image_id"])
    )


def test_the_same_network_predicts_the_new_images(folder: Growing) -> None:
    """SegNet stays as it is: steps over its masks take in what is new, one after another."""
    job = job_of(folder)
    pipeline.run(job, folder.write(pictures(9)))
    before = {step: contents(job.run, step) for step in OF_PLAN}
    ensure_plan(job, folder.write(pictures(14)), "run", extend=True)
    for step in (*OF_PLAN, "report"):
        do(job, step)
    for step in OF_PLAN:
        assert before[step].items() <= contents(job.run, step).items()
        assert len({image_id for image_id, _ in rows(job.run, step)}) == 14
    assert check(job, None).findings.lines() == []
    assert {state for state, _, _ in states(job).values()} <= {"done", "not asked for"}


def test_a_kill_at_any_write_of_an_extension_is_made_good_by_the_next_command(
    folder: Growing, tmp_path: Path
) -> None:
    """Catches a step that looks whole though the plan has more, and one that no command ends."""
    template = job_of(folder, "template")
    ensure_plan(template, folder.write(pictures(5)), "run")
    make(template)
    source = folder.write(pictures(9))
    whole = job_of(folder, "whole")
    ensure_plan(whole, source, "run")
    make(whole)
    for count in itertools.count():
        job = job_of(folder, f"run{count}")
        shutil.copytree(template.run.url, job.run.url)
        try:
            with killed_after(count) as done:
                ensure_plan(job, source, "run", extend=True)
        except CutOffError:
            num_shards = read_plan(job.run).num_shards
            assert num_shards in (2, 3)
            if num_shards == 2:
                assert read_summary(job.run, "segment") is not None
                ensure_plan(job, source, "run", extend=True)
        else:
            break
        make(job)
        for step in ("segment", "fuse"):
            assert rows(job.run, step) == rows(whole.run, step)
        assert check(job, None).findings.lines() == []
        assert all(states(job)[step] == ("done", 3, 3) for step in ("segment", "fuse"))
    assert count == len(done) >= 2 + 2 * 3


def test_a_folder_of_shards_grows_too(folder: Growing) -> None:
    """Those of `convert` keep their bytes, and their order within."""
    job = job_of(folder, "converted")
    ensure_plan(job, folder.write(pictures(5)), "images")
    do(job, "convert")
    before = contents(job.run)
    ensure_plan(job, folder.write(pictures(9)), "images", extend=True)
    do(job, "convert")
    after = contents(job.run)
    made = {name: file for name, file in before.items() if name.startswith("part-")}
    assert len(made) == 2
    assert made.items() <= after.items()
    assert committed(job.run, "convert") == {0, 1, 2}
    assert read_mark(job.run, "convert", 2).ok == 4
    assert check(job, None).findings.lines() == []


def test_a_step_begun_with_other_settings_does_not_grow_by_force(folder: Growing) -> None:
    """Catches new shards of other masks beside the old ones."""
    job = job_of(folder)
    ensure_plan(job, folder.write(pictures(5)), "run")
    make(job)
    ensure_plan(job, folder.write(pictures(9)), "run", extend=True)
    other = job_at(job.run, **SMALL, iem=job.settings.iem.__class__(iterations=3))
    with pytest.raises(RunMismatchError, match=re.escape("iem.iterations: 8 before, 3 now")):
        do(other, "segment")
    assert committed(job.run, "segment") == {0, 1}
    record = read_record(job.run, "segment")
    assert record is not None
    assert record.num_shards == 3
