import re
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iem_batch.config import Settings
from iem_batch.errors import (
    RunMismatchError,
    SettingsError,
    SourceError,
    StepMissingError,
    StorageError,
)
from iem_batch.exec.local import LocalExecutor
from iem_batch.job import Job
from iem_batch.run import layout, manifest
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import (
    Plan,
    _Listing,
    read_plan,
    require_same_settings,
    shard_entries,
    write_plan,
)
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, IgnoredFile, open_source
from iem_batch.tools.plan import ensure_plan


class ListedSource:
    """A source that is a list: what `write_plan` may expect of any."""

    url = "list://"
    exact_bytes = True

    def __init__(self, *items: Entry | IgnoredFile) -> None:
        self.items = items

    def fingerprint(self) -> None:
        return None

    def entries(self, max_images=512):
        return iter(self.items)


def images(*sizes: int) -> list[Entry]:
    """Pieces of a source that hold so many images, 10 bytes each."""
    return [
        Entry(uri=f"piece-{index:03d}", start=0, stop=size, num_bytes=10 * size)
        for index, size in enumerate(sizes)
    ]


def all_entries(run: RunFolder, plan: Plan) -> list[Entry]:
    return [entry for shard in range(plan.num_shards) for entry in shard_entries(run, shard)]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def test_shards_in_order(run: RunFolder, picture_folder: Path):
    plan = write_plan(run, open_source(str(picture_folder)), PlanSettings(shard_size=5))
    names = sorted(path.name for path in picture_folder.iterdir())
    assert (plan.num_images, plan.num_shards) == (12, 3)
    assert plan.num_bytes == sum(path.stat().st_size for path in picture_folder.iterdir())
    shards = [[Path(entry.uri).name for entry in shard_entries(run, shard)] for shard in range(3)]
    assert shards == [names[:5], names[5:10], names[10:]]
    assert read_plan(run) == plan


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=40),
    shard_size=st.integers(1, 30),
    limit=st.none() | st.integers(1, 200),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_image_exactly_once(tmp_path: Path, sizes, shard_size, limit):
    """Whatever the pieces, the shard size and the limit."""
    run = RunFolder(str(tmp_path / uuid.uuid4().hex))
    entries = images(*sizes)
    plan = write_plan(run, ListedSource(*entries), PlanSettings(shard_size=shard_size, limit=limit))
    expected = [(entry.uri, index) for entry in entries for index in range(entry.stop)][:limit]
    found = [
        (entry.uri, index)
        for entry in all_entries(run, plan)
        for index in range(entry.start, entry.stop)
    ]
    assert found == expected
    assert plan.num_images == len(expected)
    for shard in range(plan.num_shards):
        in_shard = shard_entries(run, shard)
        size = sum(entry.stop - entry.start for entry in in_shard)
        assert size <= shard_size or len(in_shard) == 1


def test_limit_takes_the_first(run: RunFolder, picture_folder: Path):
    settings = PlanSettings(shard_size=5, limit=7)
    plan = write_plan(run, open_source(str(picture_folder)), settings)
    names = sorted(path.name for path in picture_folder.iterdir())[:7]
    assert [Path(entry.uri).name for entry in all_entries(run, plan)] == names


def test_planning_again_writes_nothing(run: RunFolder, picture_folder: Path, tmp_path: Path):
    job = Job(run=run, settings=Settings(), executor=LocalExecutor())
    plan = ensure_plan(job, str(picture_folder), "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert ensure_plan(job, str(picture_folder), "run") == plan
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_same_source_gives_the_same_bytes(tmp_path: Path, picture_folder: Path):
    """The digest and the manifest must not know of time, host or run folder."""
    runs = [RunFolder(str(tmp_path / name)) for name in ("one", "two")]
    for run in runs:
        write_plan(run, open_source(str(picture_folder)), PlanSettings(shard_size=5))
    for name in (layout.PLAN, layout.manifest_part(0)):
        assert runs[0].read_bytes(name) == runs[1].read_bytes(name)


def test_changed_settings_are_named(run: RunFolder, picture_folder: Path, tmp_path: Path):
    write_plan(run, open_source(str(picture_folder)), PlanSettings(shard_size=5))
    elsewhere = tmp_path / "elsewhere"
    picture_folder.rename(elsewhere)
    with pytest.raises(RunMismatchError) as caught:
        require_same_settings(run, open_source(str(elsewhere)), PlanSettings(shard_size=6, limit=3))
    assert str(caught.value) == (
        f"{run.url} was planned differently:\n"
        f"  source: '{picture_folder}#format=folder' before, '{elsewhere}#format=folder' now\n"
        "  shard_size: 5 before, 6 now\n"
        "  limit: None before, 3 now\n"
        "Use a new run folder, or what it was planned with."
    )


def test_same_settings_are_required_without_listing(run: RunFolder, picture_folder: Path):
    source = open_source(str(picture_folder))
    with pytest.raises(StepMissingError, match="run `iem-batch plan`"):
        require_same_settings(run, source, PlanSettings())
    write_plan(run, source, PlanSettings())
    (picture_folder / "new.jpg").write_bytes(b"1")
    require_same_settings(run, source, PlanSettings())
    with pytest.raises(RunMismatchError, match="limit: None before, 1 now"):
        require_same_settings(run, source, PlanSettings(limit=1))


def test_changed_source_is_named(run: RunFolder, picture_folder: Path):
    job = Job(run=run, settings=Settings(), executor=LocalExecutor())
    plan = ensure_plan(job, str(picture_folder), "run")
    files = sorted(picture_folder.iterdir())
    files[0].unlink()
    files[1].write_bytes(b"changed")
    for index in range(4):
        (picture_folder / f"new{index}.jpg").write_bytes(b"new")
    with pytest.raises(RunMismatchError) as caught:
        ensure_plan(job, str(picture_folder), "run")
    new = ", ".join(f"{picture_folder}/new{index}.jpg" for index in range(3))
    assert str(caught.value) == (
        f"{picture_folder} has changed since {run.url} was planned: 4 new images ({new}), "
        f"1 are gone ({files[0]}), 1 have changed ({files[1]}). "
        "--extend adds what is new, --as-planned leaves it"
    )
    assert ensure_plan(job, str(picture_folder), "run", as_planned=True) == plan == read_plan(run)


def test_change_beyond_the_limit_does_not_matter(run: RunFolder, picture_folder: Path):
    settings = Settings(plan=PlanSettings(limit=3))
    job = Job(run=run, settings=settings, executor=LocalExecutor())
    plan = ensure_plan(job, str(picture_folder), "run")
    (picture_folder / "zzz.jpg").write_bytes(b"1")
    assert ensure_plan(job, str(picture_folder), "run") == plan


def test_digest_tells_listings_apart():
    """Also those that look the same when their names are joined."""

    def digest(*uris: str, num_bytes: int = 1) -> str:
        entries = [Entry(uri=uri, start=0, stop=1, num_bytes=num_bytes) for uri in uris]
        listing = _Listing(ListedSource(*entries), PlanSettings())
        assert len(list(listing)) == len(uris)
        return listing.digest()

    digests = [
        digest("a", "b"),
        digest("b", "a"),
        digest("ab"),
        digest("a\nb"),
        digest('a", 0, 1, 1]["b'),
        digest("ab", num_bytes=2),
    ]
    assert len(set(digests)) == 6


def test_no_plan_without_plan_json(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    """A driver killed while planning leaves manifest parts, which are no plan."""

    class KilledSource(ListedSource):
        def entries(self, max_images=512):
            yield from self.items
            raise KeyboardInterrupt

    monkeypatch.setattr(manifest, "SHARDS_PER_FILE", 1)
    with pytest.raises(KeyboardInterrupt):
        write_plan(run, KilledSource(*images(1, 1)), PlanSettings(shard_size=1))
    assert run.names("_run/manifest") == ["part-00000.parquet"]
    with pytest.raises(StepMissingError):
        read_plan(run)
    plan = write_plan(run, ListedSource(*images(1, 1)), PlanSettings(shard_size=1))
    assert plan.num_shards == 2
    assert run.names("_run/manifest") == ["part-00000.parquet", "part-00001.parquet"]


def test_ignored_files_are_counted_with_examples(run: RunFolder):
    others = [IgnoredFile(uri=f"/x/{name}") for name in ("ä.txt", "\udcff.jpg", "\n\x1b[2J", "d")]
    plan = write_plan(run, ListedSource(*others, *images(1)), PlanSettings())
    assert plan.num_ignored == 4
    assert plan.ignored_examples == ["/x/ä.txt", "/x/\\udcff.jpg", "/x/\\n\\x1b[2J"]
    assert read_plan(run) == plan


def test_source_without_images(run: RunFolder, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    source = open_source(str(tmp_path / "photos"))
    with pytest.raises(SourceError, match="photos is empty$"):
        write_plan(run, source, PlanSettings())
    (tmp_path / "photos/a.txt").write_bytes(b"")
    message = (
        f"{tmp_path}/photos holds no images, but 1 other files, such as {tmp_path}/photos/a.txt"
    )
    with pytest.raises(SourceError, match=re.escape(message)):
        write_plan(run, source, PlanSettings())
    assert not run.exists(layout.PLAN)


def test_unknown_shard(run: RunFolder):
    write_plan(run, ListedSource(*images(1)), PlanSettings())
    with pytest.raises(StorageError, match="has no shard 7"):
        shard_entries(run, 7)


@pytest.mark.parametrize("bad", [{"shard_size": 0}, {"limit": 0}, {"limit": -1}])
def test_settings_out_of_range(bad):
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} is"):
        PlanSettings(**bad)
