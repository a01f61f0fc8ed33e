"""What the tools say of every step that the registry has, so that none is forgotten by one."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest

from iem_batch.errors import ShardsFailedError, VerificationError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.deletion import reopen
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import (
    committed,
    read_failures,
    read_mark,
    read_marks,
    require_summary,
)
from iem_batch.run.settings import PlanSettings
from iem_batch.segnet.settings import TrainSettings
from iem_batch.steps.apply.settings import ApplySettings
from iem_batch.steps.do import do
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.places import StartedStep, started_steps
from iem_batch.steps.registry import STEPS
from iem_batch.steps.report.accounts import rejections
from iem_batch.steps.report.conclusion import conclusion
from iem_batch.steps.report.step import PAGE
from iem_batch.steps.train.layout import CURVES, HISTORY
from iem_batch.tools import pipeline
from iem_batch.tools.plan import ensure_plan
from iem_batch.tools.retry import retry
from iem_batch.tools.status import run_status
from iem_batch.tools.verify import EXAMPLES, check, verify
from tests.pictures import Picture, write_folder, write_masks
from tests.steps.jobs import job_at

IN_RUN = [step.name for step in STEPS.values() if step.of_run]
ELSEWHERE = "an export elsewhere"
OWN_FOLDER = [step.name for step in STEPS.values() if not step.of_run]
EVERY = [*IN_RUN, ELSEWHERE, *OWN_FOLDER]
WHOLE = {"topk", "train", "evaluate", "report"}
"""Done at once, so that no shard of them can fail."""


TELL_THE_TIME = {PAGE, HISTORY, CURVES}
"""Files that say how long something took."""


class Done:
    """A run in which every step is done, a corpus elsewhere, and the folders of other steps."""

    def __init__(self, root: Path, pictures: list[Picture]) -> None:
        write_folder(root / "pictures", pictures)
        (root / "pictures/broken.png").write_bytes(b"no picture")
        write_masks(root / "truth", pictures)
        self.elsewhere = root / "corpus"
        evaluate = EvaluateSettings(truth=str(root / "truth"))
        train = TrainSettings(epochs=1, batch_size=4)
        small = {"plan": PlanSettings(shard_size=5), "train": train, "evaluate": evaluate}
        run = RunFolder(str(root / "run"))
        self.run = job_at(run, **small, export=ExportSettings(pairs_per_file=4))
        coco = ExportSettings(pairs_per_file=4, format="coco", to=str(self.elsewhere))
        self.export = job_at(run, **small, export=coco)
        apply = ApplySettings(model=run.url)
        self.own = {
            name: job_at(RunFolder(str(root / name)), **small, apply=apply) for name in OWN_FOLDER
        }
        source = str(root / "pictures")
        pipeline.run(self.run, source)
        done_by_run = {started.step.name for started in started_steps(self.run)}
        for name in IN_RUN:
            if name not in done_by_run:
                do(self.run, name)
        do(self.export, "export")
        do(self.run, "report")
        for name, job in self.own.items():
            ensure_plan(job, source, STEPS[name].kind)
            do(job, name)

    def job(self, name: str) -> Job:
        """Give the job of the folder in which a step is."""
        return self.own.get(name, self.run)

    def folders(self) -> list[tuple[list[str], Job]]:
        """Give what is in each folder that this program made, and a job there."""
        return [
            ([*IN_RUN, ELSEWHERE], self.run),
            *(([name], job) for name, job in self.own.items()),
        ]

    def title(self, name: str) -> str:
        """Give what a step is called for people."""
        return f"{self.elsewhere}: export" if name == ELSEWHERE else name

    def find(self, name: str) -> StartedStep:
        """Find a step as the tools do."""
        found = [each for each in started_steps(self.job(name)) if each.title == self.title(name)]
        assert len(found) == 1
        return found[0]

    def files(self, name: str) -> list[str]:
        """List all that a step has written, in its place."""
        started = self.find(name)
        place, step = started.place, started.step.name
        marks = read_marks(place, step, sorted(committed(place, step)))
        files = [file for mark in marks for file in mark.files]
        return [*files, *require_summary(place, step).files]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Done:
    return Done(tmp_path_factory.mktemp("every"), pictures)


def test_every_step_has_a_row_in_the_status(done: Done) -> None:
    for names, job in done.folders():
        states = {row.step: row.state for row in run_status(job)}
        assert states == {done.title(name): "done" for name in names}


def test_what_went_wrong_is_told_at_the_end(done: Done) -> None:
    lines = list(conclusion(done.run, rejections(done.run.run)))
    assert lines[0].startswith("masks: 12 of 13 images have one")
    assert (
        f"not usable: 1 image (1 not_an_image), by name in {done.run.run.url}/quarantine" in lines
    )


def test_every_step_is_verified(done: Done) -> None:
    for names, job in done.folders():
        result = check(job, None)
        assert result.findings.lines() == []
        assert result.not_ours.lines() == []
        assert set(result.steps) == {done.title(name) for name in names}


def test_every_step_is_in_the_times_of_the_report(done: Done) -> None:
    """But the page itself, which is not done before it is written."""
    html = done.run.run.read_bytes(PAGE).decode()
    table = html.partition('id="time"')[2].partition("</table>")[0]
    titles = [unescape(title) for title in re.findall('<th scope="row">(.*?)</th>', table)]
    expected = [done.title(name) for name in (*IN_RUN, ELSEWHERE) if name != "report"]
    assert sorted(titles) == sorted(expected)


@contextmanager
def damaged(place: RunFolder, names: Sequence[str]) -> Iterator[None]:
    """Flip a bit in the middle of files; one that is empty gets a byte."""
    before = {name: place.read_bytes(name) for name in names}
    for name, data in before.items():
        middle = len(data) // 2
        flipped = bytes([data[middle] ^ 1]) if data else b"x"
        place.write_bytes(name, data[:middle] + flipped + data[middle + 1 :])
    yield
    for name, data in before.items():
        place.write_bytes(name, data)


@pytest.mark.parametrize("name", EVERY)
def test_a_bit_that_has_changed_in_any_file(done: Done, name: str) -> None:
    place, files = done.find(name).place, done.files(name)
    where = f"{done.elsewhere}: " if name == ELSEWHERE else ""
    assert files
    for start in range(0, len(files), EXAMPLES):
        some = files[start : start + EXAMPLES]
        with damaged(place, some):
            found = check(done.job(name), None).findings
        assert found.examples["checksum"] == [
            f"{where}{file} is not what was written: its bytes differ" for file in some
        ]


@pytest.mark.parametrize("name", [name for name in EVERY if name not in WHOLE])
def test_a_shard_that_failed_is_done_by_retry(done: Done, name: str) -> None:
    """Its mark cannot be written, as on a disk that is full; then it can."""
    started, job = done.find(name), done.job(name)
    place, step = started.place, started.step.name
    before = {file: place.read_bytes(file) for file in done.files(name)}
    reopen(place, step, [1])
    obstacle = Path(place.url, layout.mark(step, 1))
    obstacle.mkdir()
    with pytest.raises(ShardsFailedError, match=f"1 shard of {step} failed"):
        do(started.job, step)
    assert list(read_failures(place, step)) == [1]
    assert {row.step: row.state for row in run_status(job)}[started.title] == "failed"
    obstacle.rmdir()
    retry(job, quarantined=False)
    assert read_mark(place, step, 1).attempts == 4
    assert {file: place.read_bytes(file) for file in done.files(name)} == before
    assert check(job, None).findings.lines() == []
    assert not read_failures(place, step)


@pytest.mark.parametrize("name", EVERY)
def test_what_is_damaged_is_made_anew_by_the_command_that_verify_names(
    done: Done, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A byte of a file has changed, and the last file is gone."""
    started, job = done.find(name), done.job(name)
    before = {file: started.place.read_bytes(file) for file in done.files(name)}
    first, last = list(before)[0], list(before)[-1]
    damaged = bytes([before[first][0] ^ 1]) + before[first][1:]
    started.place.write_bytes(first, damaged)
    started.place.delete(*{last} - {first})
    with pytest.raises(VerificationError):
        verify(job, json=False, reread=False)
    advice = f"verify: `iem-batch retry {job.run.url} --damaged` makes anew what is damaged"
    assert advice in capsys.readouterr().out.splitlines()
    retry(job, quarantined=False, damaged=True)
    assert f"retry: {started.title} is damaged, in " in capsys.readouterr().out
    for file in before.keys() - TELL_THE_TIME:
        assert started.place.read_bytes(file) == before[file], file
    verify(job, json=False, reread=False)
    retry(job, quarantined=False, damaged=True)
    assert capsys.readouterr().out.endswith("retry: nothing is damaged\n")


def test_a_damaged_mark_is_made_anew(done: Done) -> None:
    place = done.run.run
    mark = place.read_json(layout.mark("fuse", 1))
    place.write_bytes(layout.mark("fuse", 1), b'{"shard": 1')
    retry(done.run, quarantined=False, damaged=True)
    assert place.read_json(layout.mark("fuse", 1))["files"] == mark["files"]
    assert check(done.run, None).findings.lines() == []


def test_what_is_done_at_once_has_one_shard(done: Done) -> None:
    """Else the test before would miss a step."""
    single = {name for name in EVERY if done.find(name).record.num_shards == 1}
    assert single == WHOLE
