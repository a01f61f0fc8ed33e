"""Whatever a command does, files that are not the run's own keep their bytes."""

import contextlib
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from iem_batch.cli import main
from iem_batch.errors import IEMBatchError, RunMismatchError
from iem_batch.iem.settings import IEMSettings
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_marks
from iem_batch.run.settings import PlanSettings
from iem_batch.segnet.settings import TrainSettings
from iem_batch.steps.convert.settings import ConvertSettings
from iem_batch.steps.do import do, drop
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.registry import STEPS
from iem_batch.storage.folder import Folder
from iem_batch.tools import pipeline
from iem_batch.tools.doctor import examine
from iem_batch.tools.plan import ensure_plan, plan
from iem_batch.tools.retry import retry
from iem_batch.tools.status import run_status
from iem_batch.tools.verify import check
from tests.growing import CutOffError, contents, killed_after
from tests.growing import pictures as encoded_pictures
from tests.pictures import Picture, textured_disc, write_folder, write_masks
from tests.steps.jobs import IEM, job_at
from tests.test_cli import QUICK

OLD_S = 10**9
"""Of a file that nobody has changed for long, in seconds since 1970."""


class World:
    """A run in which every step is done, what was exported and converted, and files of others."""

    def __init__(self, root: Path, pictures: list[Picture]) -> None:
        self.root, self.rng = root, random.Random(0)
        write_folder(root / "photos", pictures)
        (root / "photos/broken.png").write_bytes(b"no picture")
        write_masks(root / "truth", pictures)
        self.source = str(root / "photos")
        pipeline.run(self.job(), self.source)
        do(self.job(), "upscale")
        do(self.job(export=self.coco("corpus")), "export")
        do(self.job(export=ExportSettings(pairs_per_file=4, format="coco")), "export")
        ensure_plan(self.converted(), self.source, "images")
        do(self.converted(), "convert")
        self.foreign: dict[Path, tuple[Any, ...]] = {}
        (root / "outside").mkdir()
        self.add(root / "outside/part-00000.parquet")
        for place in ("run", "corpus", "converted"):
            for folder in [root / place, *(p for p in (root / place).rglob("*") if p.is_dir())]:
                self.sprinkle(folder)
        self.add(root / "run/README.md")

    def job(self, **further: Any) -> Job:
        sections = {
            "plan": PlanSettings(shard_size=3),
            "train": TrainSettings(epochs=1, batch_size=4),
            "evaluate": EvaluateSettings(truth=str(self.root / "truth")),
            "export": ExportSettings(pairs_per_file=4),
        }
        return job_at(RunFolder(str(self.root / "run")), **sections | further)

    def coco(self, folder: str) -> ExportSettings:
        return ExportSettings(pairs_per_file=4, format="coco", to=str(self.root / folder))

    def converted(self, folder: str = "converted", **further: Any) -> Job:
        return job_at(
            RunFolder(str(self.root / folder)), plan=PlanSettings(shard_size=3), **further
        )

    def sprinkle(self, folder: Path) -> None:
        """Put files of others into a folder: any names, names like ours, hidden ones, links."""
        number = self.rng.randrange(10**6)
        names = [f"{number}.txt", f"notes-{number}.json", ".hidden", ".draft.tmp"]
        names += ["part-00099.parquet", "part-00099.json", "part-00099.tar", "train-x.json"]
        for name in [*names, *([] if (folder / "README.md").exists() else ["README.md"])]:
            self.add(folder / name)
        for name, target in (("a link.png", "outside/part-00000.parquet"), ("linked", "outside")):
            (folder / name).symlink_to(self.root / target)
            self.foreign[folder / name] = self.look(folder / name)

    def add(self, path: Path) -> None:
        path.write_bytes(b"of somebody else")
        os.utime(path, (OLD_S, OLD_S))
        self.foreign[path] = self.look(path)

    def look(self, path: Path) -> tuple[Any, ...]:
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes()
        return status.st_ino, status.st_mtime_ns, content

    def require_untouched(self, by: str) -> None:
        for path, before in self.foreign.items():
            assert os.path.lexists(path), f"{by} has deleted {path}"
            assert self.look(path) == before, f"{by} has changed {path}"


def commands(world: World) -> dict[str, Callable[[], object]]:
    """Give every command that works on a run, by a name."""
    other = {"iem": IEMSettings(**vars(IEM) | {"iterations": 7})}
    anew = world.job(overwrite=True)
    return {
        "run again": lambda: pipeline.run(world.job(), world.source),
        "run --overwrite": lambda: pipeline.run(world.job(overwrite=True, **other), world.source),
        "a kill": lambda: killed(world),
        "verify": lambda: check(world.job(), None),
        "status": lambda: run_status(world.job()),
        "report": lambda: do(world.job(), "report"),
        "evaluate": lambda: do(world.job(), "evaluate"),
        "doctor": lambda: examine(world.job().run.url, world.source),
        "retry": lambda: retry(world.job(), quarantined=False),
        "retry --quarantined": lambda: retry(anew, quarantined=True),
        "retry --damaged": lambda: retry(world.job(), quarantined=False, damaged=True),
        "upscale": lambda: do(anew, "upscale"),
        "export elsewhere": lambda: do(
            world.job(export=world.coco("corpus"), overwrite=True), "export"
        ),
        "convert": lambda: do(
            world.converted(convert=ConvertSettings(to="tar"), overwrite=True), "convert"
        ),
        "extend": lambda: extend(world),
        **{f"drop {name}": lambda name=name: drop(anew, name) for name in ("train", "fuse")},
        "plan --overwrite": lambda: plan(
            world.job(overwrite=True, plan=PlanSettings(shard_size=4)), world.source
        ),
    }


def killed(world: World) -> None:
    with killed_after(world.rng.randrange(60)), contextlib.suppress(CutOffError):
        pipeline.run(world.job(overwrite=True), world.source)


def extend(world: World) -> None:
    write_folder(Path(world.source), [textured_disc(world.rng.randrange(100, 10**6))])
    for job, kind in ((world.job(), "run"), (world.converted(), "images")):
        ensure_plan(job, world.source, kind, extend=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [0, 1])
def test_files_of_others_keep_their_bytes_whatever_is_done(
    tmp_path: Path, pictures: list[Picture], seed: int
) -> None:
    """Each command once and some twice, in an order by chance, in folders full of other files."""
    world = World(tmp_path, pictures[:7])
    world.rng.seed(seed)
    every = commands(world)
    names = [*every, *world.rng.sample(list(every), 4)]
    world.rng.shuffle(names)
    refused = []
    for name in names:
        try:
            every[name]()
        except IEMBatchError as error:
            refused.append(f"{name}: {error}".splitlines()[0])
        world.require_untouched(f"{name} of {names}")
    broken = [line for line in refused if "damaged" in line or "cannot be" in line]
    assert not broken, "files of others stop no command"
    for step in reversed(STEPS):
        drop(world.converted() if step == "convert" else world.job(), step)
        world.require_untouched(f"drop {step}")
    left = set((tmp_path / "run/segment").iterdir())
    assert left == {path for path in world.foreign if path.parent == tmp_path / "run/segment"}


def test_a_corpus_or_shards_are_not_written_among_files_of_others(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    world = World(tmp_path, pictures[:4])
    (tmp_path / "home").mkdir()
    world.add(tmp_path / "home/letter.txt")
    for job, step in (
        (world.job(export=world.coco("home")), "export"),
        (world.job(export=world.coco("home"), overwrite=True), "export"),
    ):
        with pytest.raises(RunMismatchError, match="it holds letter.txt; nothing of it is touched"):
            do(job, step)
    for overwrite in (False, True):
        job = world.converted("home", overwrite=overwrite)
        with pytest.raises(RunMismatchError, match="it holds letter.txt; nothing of it is touched"):
            plan(job, world.source)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_no_file_is_left_of_a_shard_that_was_cut_off(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    """Catches masks of a plan before that are read with those of the plan now."""
    write_folder(tmp_path / "photos", pictures[:9])
    job = job_at(RunFolder(str(tmp_path / "run")), plan=PlanSettings(shard_size=2))
    ensure_plan(job, str(tmp_path / "photos"), "run")
    do(job, "segment")
    job.run.delete("_run/stats/segment/part-00004.json", "_run/done/segment.json", "_SUCCESS")
    again = job_at(job.run, plan=PlanSettings(shard_size=5), overwrite=True)
    plan(again, str(tmp_path / "photos"))
    assert job.run.names("segment") == []
    do(again, "segment")
    marks = read_marks(job.run, "segment", sorted(committed(job.run, "segment")))
    named = {name for mark in marks for name in mark.files}
    assert {f"segment/{name}" for name in job.run.names("segment")} == named
    assert len(named) == 2


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Give the lines on standard error of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--local", *QUICK])
    assert ended.value.code == 1
    return capsys.readouterr().err.splitlines()


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_bucket")


def upload(root: str, below: str, count: int, start: int = 0) -> None:
    """Write pictures below a folder anywhere."""
    folder = Folder(f"{root}/{below}")
    for name, data in _encoded(count, start).items():
        folder.write_bytes(name, data)


def _encoded(count: int, start: int) -> dict[str, bytes]:
    return dict(list(encoded_pictures(start + count).items())[start:])


@pytest.mark.parametrize("run", ["set/masks", "set", "set/", "set/images", "set/images/"])
def test_ground_truth_beside_the_images_is_no_run_folder(
    root: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a new user would: into the folder of the masks, around the images, among them."""
    upload(root, "set/images", 3)
    upload(root, "set/masks", 3)
    Folder(f"{root}/set").write_bytes("README.md", b"of the user")
    before = contents(RunFolder(root))
    for flags in ((), ("--iem.iterations=100", "--overwrite")):
        (line,) = lines_of(capsys, "segment", f"{root}/set/images", f"{root}/{run}", *flags)
        assert ("it holds 000.png, 001.png" if "masks" in run else "inside one another") in line
    assert contents(RunFolder(root)) == before


def test_new_photos_are_said_in_a_line(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They would be ignored without a word."""
    source, run = f"{root}/photos", f"{root}/run"
    upload(root, "photos", 6)
    main(["segment", source, run, "--local", *QUICK])
    upload(root, "photos", 3, start=6)
    Folder(source).delete("001.png")
    before = contents(RunFolder(run))
    for command in ("segment", "run", "plan"):
        (line,) = lines_of(capsys, command, source, run)
        assert "3 new images" in line
        assert f"1 are gone ({source}/001.png)" in line
        assert "--extend adds what is new, --as-planned leaves it" in line
    assert contents(RunFolder(run)) == before
    main(["segment", source, run, "--local", "--extend", *QUICK])
    assert "segment: 9 images with masks" in capsys.readouterr().out
    kept = {name for name in before if name.startswith(("segment/", "_run/stats/"))}
    after = contents(RunFolder(run))
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


@pytest.mark.parametrize(
    ("run", "source"),
    [("link/run", "photos"), ("run", "way/photos"), ("link/", "photos/"), ("photos/a", "link/")],
    ids=["run in a link", "source in a link", "equal by a link", "source is a link"],
)
def test_links_and_slashes_do_not_hide_that_one_is_in_the_other(
    tmp_path: Path, run: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "photos", [textured_disc(0)])
    (tmp_path / "link").symlink_to("photos")
    write_folder(tmp_path / "run/photos", [textured_disc(1)])
    (tmp_path / "way").symlink_to("run")
    before = contents(RunFolder(str(tmp_path)))
    (line,) = lines_of(capsys, "segment", f"{tmp_path}/{source}", f"{tmp_path}/{run}")
    assert "lie inside one another" in line
    assert contents(RunFolder(str(tmp_path))) == before
