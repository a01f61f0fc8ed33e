from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import RunMismatchError, StepMissingError, StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder, mark, part
from iem_batch.run.schema import QUARANTINE, SELECTION

ROWS = [{"image_id": "ä", "uri": "/ä", "error_class": "empty", "message": "no bytes"}]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def test_table_round_trip(run: RunFolder):
    table = pa.Table.from_pylist(ROWS, schema=QUARANTINE)
    run.write_table("quarantine/part-00000.parquet", table)
    assert run.read_table("quarantine/part-00000.parquet").equals(table, check_metadata=True)
    columns = run.read_table("quarantine/part-00000.parquet", columns=["uri"])
    assert columns.to_pydict() == {"uri": ["/ä"]}


def test_bytes_of_a_table_depend_on_its_rows_alone(run: RunFolder):
    """A retry must write the same file; chunks come from how rows were collected."""
    rng = np.random.default_rng(0)
    columns = {
        "image_id": [f"image-{index}" for index in range(1000)],
        "shard": pa.array(range(1000), pa.int32()),
        "init_side": pa.array([78] * 1000, pa.int32()),
        "error": rng.random(1000),
        "score": rng.random(1000),
        "rank": pa.array(range(1000), pa.int32()),
    }
    whole = pa.table(columns, schema=SELECTION)
    pieces = pa.concat_tables([whole.slice(0, 300), whole.slice(300)])
    checksums = {run.write_table(f"{i}.parquet", table) for i, table in enumerate([whole, pieces])}
    assert len(checksums) == 1


def test_data_folders_are_read_as_a_dataset(run: RunFolder, tmp_path: Path):
    """Anything but Parquet in a data folder breaks other readers."""
    for shard in range(3):
        table = pa.Table.from_pylist(ROWS, schema=QUARANTINE)
        run.write_table(part("quarantine", shard), table)
        run.write_json(mark("quarantine", shard), {"ok": 1})
    assert pq.read_table(tmp_path / "run/quarantine").num_rows == 3


def test_json_keeps_the_order_of_keys(run: RunFolder):
    run.write_json("x.json", {"b": 1, "a": [1, None, "ü"]})
    assert list(run.read_json("x.json").items()) == [("b", 1), ("a", [1, None, "ü"])]


def test_committed_and_marks(run: RunFolder):
    assert run.committed("masks") == set()
    for shard in (0, 2, 100_000):
        run.write_json(mark("masks", shard), {"shard": shard})
    run.write_json(mark("refined", 1), {"shard": 1})
    assert run.committed("masks") == {0, 2, 100_000}
    assert run.marks("masks", [100_000, 0]) == [{"shard": 100_000}, {"shard": 0}]


def test_step_is_resumed_with_the_same_settings(run: RunFolder):
    settings = {"iem": {"lambda": 0.001, "sides": (44, 78)}, "seed": 0}
    run.begin_step("masks", settings)
    run.begin_step("masks", settings)


def test_step_with_other_settings_is_refused_with_the_difference(run: RunFolder):
    run.begin_step("masks", {"iem": {"lambda": 0.001, "sigma": 5.0}, "seed": 0})
    with pytest.raises(RunMismatchError) as caught:
        run.begin_step("masks", {"iem": {"lambda": 0.0, "sigma": 5.0}, "extra": 1, "seed": 0})
    message = str(caught.value)
    assert f"{run.url}/masks was begun with other settings" in message
    assert "  iem.lambda: 0.001 before, 0.0 now" in message
    assert "  extra: None before, 1 now" in message
    assert "sigma" not in message
    assert "seed" not in message


def test_dropping_a_step_drops_the_later_ones_and_keeps_the_earlier(run: RunFolder):
    """Masks of SegNet made from a corpus that is gone would look current."""
    for step in layout.STEPS:
        run.begin_step(step, {})
        run.write_bytes(f"{step}/part-00000.parquet", b"1")
        run.write_json(mark(step, 0), {})
    run.write_bytes("quarantine/part-00000.parquet", b"1")
    run.write_bytes(layout.SUCCESS, b"")
    for name in (layout.EVALUATION, layout.REPORT, layout.killers(0)):
        run.write_bytes(name, b"1")
    run.drop_step("corpus")
    assert not run.exists("evaluation")
    assert not run.exists("report")
    assert run.exists(layout.killers(0))
    kept = [step for step in layout.STEPS if run.exists(step)]
    assert kept == ["masks", "selection"]
    assert [step for step in layout.STEPS if run.committed(step)] == kept
    assert run.exists(layout.SUCCESS)
    run.drop_step("masks")
    assert not any(run.exists(step) for step in layout.STEPS)
    assert not run.exists("quarantine")
    assert not run.exists(layout.SUCCESS)
    assert not run.exists(layout.killers(0))


def test_a_step_dropped_by_half_is_dropped_again(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    """Catches marks that outlive the record of their settings: they would count under others."""
    delete = RunFolder.delete
    run.begin_step("masks", {"seed": 0})
    run.write_json(mark("masks", 0), {})
    names: list[str] = []

    def recording(self: RunFolder, name: str) -> None:
        names.append(name)
        delete(self, name)

    monkeypatch.setattr(RunFolder, "delete", recording)
    run.drop_step("masks")
    order = [names.index(name) for name in ("_SUCCESS", "_run/stats/masks", "masks")]
    assert order == sorted(order)
    assert names.index("masks") < names.index("_run/steps/masks.json")


def test_other_versions_are_refused_unless_accepted(run: RunFolder):
    """A run that goes on under a new pyarrow has files that no single version would write."""
    old = {"version": "1", "libraries": {"pyarrow": "25"}, "seed": 0}
    new = old | {"libraries": {"pyarrow": "26"}}
    run.begin_step("masks", old)
    with pytest.raises(RunMismatchError, match="with other versions:\n  libraries.pyarrow: '25'"):
        run.begin_step("masks", new)
    with pytest.raises(RunMismatchError, match="seed: 0 before, 1 now"):
        run.begin_step("masks", new | {"seed": 1}, accept_versions=True)
    run.begin_step("masks", new, accept_versions=True)
    run.begin_step("masks", new)


def test_marks_are_read_in_order_and_none_is_lost(run: RunFolder):
    """More than the readers hold at once, in an order that is not the order of the names."""
    shards = list(range(200, 0, -1))
    for shard in shards:
        run.write_json(mark("masks", shard), {"shard": shard})
    assert [found["shard"] for found in run.each_mark("masks", shards)] == shards


def test_foreign_files_among_the_marks_are_no_shards(run: RunFolder):
    run.write_json(mark("masks", 3), {})
    for name in ("notes.txt", "part-1.json", "part-00002.json.bak"):
        run.write_bytes(f"_run/stats/masks/{name}", b"")
    assert run.committed("masks") == {3}


def test_a_damaged_file_is_named(run: RunFolder):
    """Catches a traceback of the JSON or Parquet reader after a power cut."""
    run.write_bytes("x.json", b"{")
    run.write_bytes("x.parquet", b"PAR1")
    with pytest.raises(StorageError, match=r"/run/x.json is damaged"):
        run.read_json("x.json")
    with pytest.raises(StorageError, match=r"/run/x.parquet is damaged"):
        run.read_table("x.parquet")


def test_missing_step_names_the_command(run: RunFolder):
    with pytest.raises(StepMissingError, match=r"/run has no _SUCCESS; run `iem-batch segment`"):
        run.require(layout.SUCCESS, "segment")
    run.write_bytes(layout.SUCCESS, b"")
    run.require(layout.SUCCESS, "segment")


def test_how_a_table_is_written_is_pinned(run: RunFolder):
    """Catches a default of pyarrow's that changes: a run resumed under it would not be one run."""
    table = pa.Table.from_pylist(ROWS * 3, schema=QUARANTINE)
    run.write_table("x.parquet", table)
    with run.open("x.parquet") as file:
        metadata = pq.ParquetFile(file).metadata
    assert metadata.format_version == "2.6"
    assert metadata.created_by == f"parquet-cpp-arrow version {pa.__version__}"
    column = metadata.row_group(0).column(0)
    assert (column.compression, column.encodings) == ("ZSTD", ("PLAIN", "RLE", "RLE_DICTIONARY"))
    assert column.statistics is not None


def test_an_earlier_round_has_its_own_steps_and_the_runs_plan(run: RunFolder):
    """Catches marks or settings of one round that are read in another."""
    first, second = run.round(1), run.round(2)
    for name in (
        "selection/topk.parquet",
        "predictions/part-00000.parquet",
        layout.WEIGHTS,
        layout.CONFIG,
        mark("corpus", 0),
        layout.failure("refined", 0),
        layout.step_record("segnet"),
        f"{layout.TRAIN}/key/checkpoint.pt",
    ):
        first.write_bytes(name, b"1")
        assert run.read_bytes(f"rounds/1/{name}") == first.read_bytes(name) == b"1"
        assert not run.exists(name)
        assert not second.exists(name)
    assert first.committed("corpus") == {0}
    for name in (layout.PLAN, layout.SUCCESS, "masks/part-00000.parquet", mark("masks", 0)):
        run.write_bytes(name, b"2")
        assert second.read_bytes(name) == b"2"
    assert first.last_round == run
    assert first.round(2) == second


def test_what_comes_after_a_round_is_dropped_with_it(run: RunFolder):
    places = {"1": run.round(1), "2": run.round(2), "last": run}

    def begun() -> dict[str, list[str]]:
        steps = layout.STEPS
        found = {key: [s for s in steps[1:] if p.committed(s)] for key, p in places.items()}
        return {key: steps for key, steps in found.items() if steps}

    def fill() -> None:
        for place in places.values():
            for step in ("selection", "segnet"):
                place.begin_step(step, {"seed": 0})
                place.write_json(mark(step, 0), {})

    both = ["selection", "segnet"]
    fill()
    assert run.earlier_rounds() == [run.round(1), run.round(2)]
    run.drop_step("segnet")
    assert begun() == {"1": both, "2": both, "last": ["selection"]}
    fill()
    run.round(2).drop_step("segnet")
    assert begun() == {"1": both, "2": ["selection"]}
    fill()
    run.round(1).drop_step("segnet")
    assert begun() == {"1": ["selection"]}
    fill()
    run.drop_step("masks")
    assert begun() == {}
    assert not run.earlier_rounds()
