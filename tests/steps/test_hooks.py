"""Functions of a person that are told what a run has come to; this module is one of theirs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.settings import HookSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.segnet.settings import TrainSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from tests.collections_of_photos import write_parquet
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.jobs import job_at
from tests.steps.train.trainer import training_job

told: list[tuple[str, dict[str, Any]]] = []


def log(event: str, facts: dict[str, Any]) -> None:
    told.append((event, facts))


def fail(event: str, facts: dict[str, Any]) -> None:
    raise ConnectionError("no tracker\nat all")


@pytest.fixture
def out(tmp_path: Path) -> RunFolder:
    told.clear()
    photos = {f"{number}.jpg": b"\xff\xd8\xff" + bytes([number]) for number in range(5)}
    out = RunFolder(str(tmp_path / "out"))
    write_plan(out, open_source(write_parquet(tmp_path, photos)), PlanSettings(shard_size=2))
    return out


def convert(out: RunFolder, *names: str) -> None:
    do(
        job_at(out, hooks=HookSettings(call=tuple(f"{__name__}:{name}" for name in names))),
        "convert",
    )


def test_the_end_of_a_step_is_told_once(out: RunFolder) -> None:
    convert(out, "log")
    convert(out, "log")  # nothing is left to do
    [(event, facts)] = told
    assert event == "convert"
    assert (facts["run"], facts["ok"], facts["quarantined"]) == (out.url, 5, 0)


def test_a_hook_that_fails_is_one_line(out: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    convert(out, "fail", "missing", "log")
    lines = capsys.readouterr().err.splitlines()
    assert f"convert: the hook {__name__}:fail failed: ConnectionError: no tracker" in lines
    assert sum("the hook" in line for line in lines) == 2
    assert [event for event, _ in told] == ["convert"]
    assert committed(out, "convert") == {0, 1, 2}


def test_epochs_are_told(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, small_discs(4), pairs_per_file=4)
    settings = TrainSettings(epochs=2, batch_size=4, images_per_pass=2, precision="fp32")
    job = training_job(run, settings, LocalExecutor())
    told.clear()
    do(
        replace(job, settings=replace(job.settings, hooks=HookSettings(call=(f"{__name__}:log",)))),
        "train",
    )
    assert [event for event, _ in told] == ["train/epoch", "train/epoch", "train"]
    assert [facts["epoch"] for _, facts in told[:2]] == [1, 2]
    assert told[1][1]["loss"] == told[2][1]["facts"]["result"]["loss"]
