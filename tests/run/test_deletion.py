"""Nothing is deleted but what records of this program name, and nothing by halves."""

import ast
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from iem_batch.run import layout
from iem_batch.run.deletion import delete_leniently, drop_step, reopen
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import (
    Failure,
    Mark,
    StepRecord,
    add_up,
    committed,
    read_record,
    write_failure,
    write_mark,
    write_record,
    write_summary,
)
from iem_batch.storage.folder import Folder

PACKAGE = Path(__file__).parents[2] / "iem_batch"
STEP = "export"
RECORD = StepRecord(num_shards=4, settings={"seed": 0}, versions={})
FOREIGN = (
    f"{STEP}/notes.txt",
    f"{STEP}/part-00009.parquet",
    f"{STEP}/deeper/photo.jpg",
    f"{STEP}2/part-00000.parquet",
    "README.txt",
    "below/it/a.txt",
)
"""Files of others: among the step's, below its folder, beside it and elsewhere."""


class CutOffError(BaseException):
    """The process was killed."""


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    if request.param == "local":
        return RunFolder(str(tmp_path / "run"))
    if request.param == "memory":
        return RunFolder(f"memory://{tmp_path.name}/run")
    return RunFolder(f"{request.getfixturevalue('s3_bucket')}/run")


def nothing(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


def fill(place: RunFolder) -> None:
    """Write a step of three shards, whose third one failed, and files of others about it."""
    write_record(place, STEP, RECORD)
    for shard in range(3):
        names = (layout.part(STEP, shard), f"{STEP}/images/{shard}/a.png")
        mark = Mark(
            shard=shard,
            planned=1,
            ok=1,
            quarantined=0,
            files={name: place.write_bytes(name, b"1") for name in names},
            settings_digest=RECORD.digest,
            attempts=1,
            seconds=1.0,
            finished=2.0,
            host="here",
        )
        write_mark(place, STEP, mark)
    failure = Failure(shard=3, attempts=3, error="no route", time=1.0, host="here")
    write_failure(place, STEP, failure)
    whole = add_up(place, STEP, range(3), nothing)
    sha = place.write_bytes(f"{STEP}/index.json", b"{}")
    write_summary(place, STEP, replace(whole, files={f"{STEP}/index.json": sha}))
    place.write_bytes("_run/scratch/key.pt", b"1")
    for name in FOREIGN:
        place.write_bytes(name, b"of somebody else")


def files(place: RunFolder) -> set[str]:
    return {found.name for found in place.walk()}


def drop(place: RunFolder) -> None:
    drop_step(place, STEP, ["_run/scratch/key.pt", "_run/scratch/absent.pt"])


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many files may still be written or deleted before the process dies; empty is any."""
    left: list[int] = []

    def spend() -> None:
        if left and left[0] == 0:
            raise CutOffError
        left[:] = [count - 1 for count in left]

    def one_by_one(self: Folder, *names: str, delete: Any = Folder.delete) -> None:
        for name in names:
            spend()
            delete(self, name)

    def write(self: Folder, name: str, data: bytes, write: Any = Folder.write_bytes) -> str:
        spend()
        sha: str = write(self, name, data)
        return sha

    monkeypatch.setattr(Folder, "delete", one_by_one)
    monkeypatch.setattr(Folder, "write_bytes", write)
    return iter([left]).__next__()


def test_a_step_is_dropped_with_all_it_wrote_and_nothing_else(place: RunFolder) -> None:
    fill(place)
    drop(place)
    assert files(place) == set(FOREIGN)
    assert not place.exists(f"{STEP}/images"), "no empty folder is left"


def test_what_a_shard_without_a_mark_has_written_is_dropped_too(place: RunFolder) -> None:
    """Catches a file that no mark names, and that readers of the folder would take for ours."""
    fill(place)
    for name in (layout.part(STEP, 3), layout.part("more", 3), f"{STEP}/3.parquet"):
        place.write_bytes(name, b"its process was killed before the mark")
    drop_step(place, STEP, ["_run/scratch/key.pt"], [STEP, "more", "absent"])
    assert files(place) == {*FOREIGN, f"{STEP}/3.parquet"}


def test_a_step_that_was_not_begun_is_not_dropped(place: RunFolder) -> None:
    """Catches files deleted by the look of their names, in a folder that somebody made."""
    place.write_bytes(layout.part(STEP, 0), b"of somebody else")
    drop(place)
    assert files(place) == {layout.part(STEP, 0)}


def test_a_drop_cut_off_after_any_write_is_finished_by_the_next(
    tmp_path: Path, cut_off: list[int]
) -> None:
    """Catches half a step that counts as whole, and files that no record names any more."""
    for count in itertools.count():
        place = RunFolder(f"memory://{tmp_path.name}/{count}")
        fill(place)
        everything = files(place)
        cut_off[:] = [count]
        try:
            drop(place)
        except CutOffError:
            cut_off.clear()
        else:
            cut_off.clear()
            break
        record = read_record(place, STEP)
        assert record is not None, "who comes next must learn that something is left"
        assert record.is_dropped or files(place) == everything
        drop(place)
        assert files(place) == set(FOREIGN)
    assert count == 1 + 2 + 3 * 3 + 2 + 1 + 1
    assert files(place) == set(FOREIGN)


def test_shards_are_reopened_and_their_neighbours_stay(place: RunFolder) -> None:
    fill(place)
    before = files(place)
    reopen(place, STEP, [1])
    assert committed(place, STEP) == {0, 2}
    gone = {layout.mark(STEP, 1), layout.summary(STEP), f"{STEP}/index.json"}
    assert files(place) == before - gone


def test_a_file_for_people_may_stay_where_the_store_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run/folder").mkdir(parents=True)
    delete_leniently(RunFolder(str(tmp_path / "run")), "folder")
    assert (tmp_path / "run/folder").is_dir()


DELETING = {"unlink", "rmtree", "rmdir", "removedirs", "rm", "rm_file", "rm_dir", "delete"}
MODULES = ("os", "shutil")
MAY_DELETE = ("run/deletion.py", "storage/folder.py", "storage/local_files.py")


def deletions(source: Path) -> list[str]:
    """Find calls that delete files, in the source of a module."""
    found = []
    for node in ast.walk(ast.parse(source.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        name = f"{of}.{node.func.attr}"
        if node.func.attr in DELETING or name in {f"{module}.remove" for module in MODULES}:
            found.append(f"{source.relative_to(PACKAGE)}:{node.lineno} {name}")
        if node.func.attr == "call_s3" and "delete" in ast.dump(node.args[0]):
            found.append(f"{source.relative_to(PACKAGE)}:{node.lineno} {name}")
    return found


def test_one_module_deletes() -> None:
    """Catches a deletion that nobody has thought through; storage knows how to, `run` when."""
    sources = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
    who = {name for name, path in sources.items() if deletions(path)}
    assert who == {*MAY_DELETE, "storage/object_store.py"}
