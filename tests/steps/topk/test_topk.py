from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iem_batch.errors import SettingsError
from iem_batch.exec.settings import ClusterSettings
from iem_batch.images.png import encode_mask
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.steps.do import do
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.topk.step import TABLE
from tests.pictures import Picture, write_folder
from tests.steps.hand_made import commit_mark
from tests.steps.jobs import job_at
from tests.steps.topk.selecting import topk

PNG = encode_mask(np.ones((2, 2), dtype=np.bool_))


def write_shard(run: RunFolder, shard: int, table: pa.Table, first_masks: int) -> None:
    """Write a shard of fuse/ with its mark."""
    name = part("fuse", shard)
    files = {name: run.write_table(name, table)}
    commit_mark(run, "fuse", shard, files, len(table), facts={"first_masks": first_masks})


def write_masks(run: RunFolder, shards: list[list[tuple[str, float]]], status: str = "ok") -> None:
    """Write shards of (image_id, error)."""
    for shard, rows in enumerate(shards):
        table = pa.Table.from_pylist(
            [
                {
                    "image_id": image_id,
                    "mask": {"bytes": PNG, "path": None},
                    "error": error,
                    "status": status,
                }
                for image_id, error in rows
            ],
            schema=schema.FUSED,
        )
        write_shard(run, shard, table, first_masks=1)


@settings(max_examples=40, deadline=None)
@given(
    errors=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7]), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=4),
    k=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_equals_sorting_everything(
    tmp_path_factory: object, errors: list[float], cuts: list[int], k: int, seed: int
) -> None:
    """Any sharding, ties, k = 0, k above the number of rows."""
    run = RunFolder(str(tmp_path_factory.mktemp("run")))  # type: ignore[attr-defined]
    rows = [(f"image_{index:02d}", error) for index, error in enumerate(errors)]
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    edges = [0, *sorted(cuts), len(rows)]
    shards = [shuffled[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    write_masks(run, shards)
    selection = topk(run, TopkSettings(k=k))
    expected = sorted(rows, key=lambda row: (-row[1], row[0]))[:k]
    table = run.read_table(TABLE)
    assert table.schema.equals(schema.SELECTION, check_metadata=True)
    found = table.to_pylist()
    assert [(row["image_id"], row["error"]) for row in found] == expected
    assert [row["score"] for row in found] == [error for _, error in expected]
    assert [row["rank"] for row in found] == list(range(len(expected)))
    assert all((row["image_id"], row["error"]) in shards[row["shard"]] for row in found)
    assert selection.num_selected == len(expected)
    assert selection.cut == (expected[-1][1] if expected else None)


class Row(NamedTuple):
    image_id: str
    error: float
    area: float = 0.25
    status: str = "ok"
    agreement: float | None = None


def frame_mask(share: float) -> bytes:
    """A mask of 4 x 4 that covers so much of its 12 outermost pixels, and all others."""
    mask = np.ones((4, 4), dtype=np.bool_)
    rim = [(y, x) for y in range(4) for x in range(4) if y in (0, 3) or x in (0, 3)]
    for y, x in rim[round(12 * share) :]:
        mask[y, x] = False
    return encode_mask(mask)


def write_rows(
    run: RunFolder, shards: list[list[Row]], masks: dict[str, bytes], first_masks: int = 1
) -> None:
    """Write shards of fuse/ with their marks."""
    for shard, rows in enumerate(shards):
        records = [
            {
                "image_id": row.image_id,
                "mask": {"bytes": masks.get(row.image_id, PNG), "path": None},
                "error": row.error,
                "area": row.area,
                "agreement": row.agreement,
                "status": row.status,
            }
            for row in rows
        ]
        table = pa.Table.from_pylist(records, schema=schema.FUSED)
        write_shard(run, shard, table, first_masks)


def naive(rows: list[Row], settings: TopkSettings) -> list[str]:
    """Select with everything in memory, as the definition says."""
    chosen = [
        row
        for row in rows
        if row.status == "ok" and settings.min_area <= row.area <= settings.max_area
    ]

    def score(row: Row) -> float:
        return row.error if settings.by == "error" else row.error * (row.agreement or 0)

    chosen.sort(key=lambda row: (-score(row), row.image_id))
    if settings.per_group == "folder":
        places: Counter[str] = Counter()
        keyed = []
        for row in chosen:
            group = row.image_id.rpartition("/")[0]
            keyed.append((places[group], -score(row), row.image_id))
            places[group] += 1
        kept = {image_id for _, _, image_id in sorted(keyed)[: settings.k]}
        return [row.image_id for row in chosen if row.image_id in kept]
    return [row.image_id for row in chosen[: settings.k]]


images = st.lists(
    st.tuples(
        st.sampled_from(["", "a/", "b/", "b/c/"]),
        st.sampled_from([0.0, 0.25, 0.5, 0.75]),
        st.sampled_from([0.1, 0.5, 0.9]),
        st.sampled_from([None, 0.0, 0.5, 1.0]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(
    images=images,
    cuts=st.lists(st.integers(0, 20), max_size=4),
    k=st.integers(1, 25),
    by=st.sampled_from(["error", "error_agreement"]),
    per_group=st.sampled_from([None, "folder"]),
    min_area=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 99),
)
def test_options_equal_their_definition(
    tmp_path_factory, images, cuts, k, by, per_group, min_area, seed
) -> None:
    """Scores, groups and bounds, over any sharding and order of the images."""
    rows = [
        Row(f"{folder}{index:02d}", error, area, "ok" if error > 0 else "empty", agreement)
        for index, (folder, error, area, agreement) in enumerate(images)
    ]
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    edges = [0, *sorted(cuts), len(shuffled)]
    shards = [shuffled[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    run = RunFolder(str(tmp_path_factory.mktemp("run")))
    write_rows(run, shards, {}, first_masks=3)
    wanted = TopkSettings(k=k, by=by, per_group=per_group, min_area=min_area)
    topk(run, wanted)
    assert run.read_table(TABLE)["image_id"].to_pylist() == naive(rows, wanted)


def test_masks_on_which_first_masks_agree_go_first(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path / "run"))
    rows = [
        Row("a", 0.8, agreement=0.25),
        Row("b", 0.4, agreement=0.75),
        Row("c", 0.5, agreement=0.5),
    ]
    write_rows(run, [rows[:1], rows[1:]], {}, first_masks=3)
    by_agreement = topk(run, TopkSettings(k=2))
    found = run.read_table(TABLE).to_pylist()
    assert [row["image_id"] for row in found] == ["b", "c"]
    assert [row["score"] for row in found] == pytest.approx([0.3, 0.25])
    assert [row["error"] for row in found] == [0.4, 0.5]
    assert by_agreement.cut == pytest.approx(0.25)
    by_error = topk(run, TopkSettings(k=2, by="error"))
    assert run.read_table(TABLE)["image_id"].to_pylist() == ["a", "c"]
    assert (by_agreement.by, by_error.by) == ("error_agreement", "error")


def test_fraction_is_of_all_images(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path / "run"))
    rows = [Row(f"{i:02d}", 0.1 + i / 100) for i in range(20)]
    write_rows(run, [rows[:7], rows[7:]], {})
    selection = topk(run, TopkSettings(fraction=0.25))
    assert selection.num_selected == 5
    assert selection.cut == pytest.approx(0.25)


@pytest.mark.parametrize(("k", "said"), [(11, "11 of 12 images"), (12, "all 12"), (8000, "all 12")])
def test_the_output_says_where_all_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], k: int, said: str
) -> None:
    """The default takes every label of a small collection."""
    assert TopkSettings().k == 8000
    run = RunFolder(str(tmp_path))
    write_masks(run, [[(f"{n:02d}", 1 + n / 100) for n in range(12)]])
    do(job_at(run, topk=TopkSettings(k=k)), "topk")
    assert f"topk: {said}" in capsys.readouterr().out
    assert run.read_table(TABLE).num_rows == min(k, 12)


def test_masks_that_touch_the_frame(tmp_path: Path) -> None:
    """Catches a bound on the whole area in place of the outermost pixels."""
    run = RunFolder(str(tmp_path / "run"))
    shares = {"none": 0.0, "half": 0.5, "all": 1.0}
    rows = [Row(name, 0.5) for name in shares]
    write_rows(run, [rows], {name: frame_mask(share) for name, share in shares.items()})
    for bound, expected in {
        0.0: ["none"],
        0.5: ["half", "none"],
        1.0: ["all", "half", "none"],
    }.items():
        topk(run, TopkSettings(k=9, max_frame=bound))
        assert run.read_table(TABLE)["image_id"].to_pylist() == expected


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_groups_of_a_table(tmp_path: Path, kind: str) -> None:
    """A small group gives all it has, and the others share its places; 007 stays 007."""
    run = RunFolder(str(tmp_path / "run"))
    classes = {"a": "007", "b": "007", "c": "007", "d": "7", "e": "8", "f": "8"}
    rows = [Row(name, 0.9 - i / 10) for i, name in enumerate("abcdefg")]
    write_rows(run, [rows[:3], rows[3:]], {})
    table = pa.table({"x": [0] * 6, "kind": list(classes.values()), "image_id": list(classes)})
    file = tmp_path / f"groups.{kind}"
    if kind == "csv":
        pa.csv.write_csv(table, file)
    else:
        pq.write_table(table, file)
    wanted = TopkSettings(k=5, per_group="kind", groups=str(file))
    selection = topk(run, wanted)
    assert run.read_table(TABLE)["image_id"].to_pylist() == ["a", "b", "d", "e", "f"]
    assert selection.num_outside == 1  # g is in no group


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,other\na,1\n", "image_id and kind"),
        ("image_id,kind\na,1\na,2\n", "more than once"),
        (None, "does not exist"),
    ],
)
def test_a_table_of_groups_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    run = RunFolder(str(tmp_path / "run"))
    write_rows(run, [[Row("a", 0.5)]], {})
    file = tmp_path / "groups.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        topk(run, TopkSettings(per_group="kind", groups=str(file)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"fraction": 1.5},
        {"min_area": 0.5, "max_area": 0.4},
        {"per_group": "kind"},
        {"groups": "file.csv"},
        {"groups": "file.csv", "per_group": "folder"},
        {"diversity_bits": 64},
    ],
)
def test_settings_that_cannot_be_used(wrong: dict) -> None:
    with pytest.raises(SettingsError, match="topk"):
        TopkSettings(**wrong)


def test_near_duplicates_give_way_to_the_higher_error(
    segmented: Callable[..., SegmentStep], tmp_path: Path, pictures: list[Picture]
) -> None:
    folder = tmp_path / "doubled"
    write_folder(folder, pictures[:4])
    for picture in pictures[:4]:
        brighter = np.clip(picture.image.astype(np.int64) + 3, 0, 255).astype(np.uint8)
        Image.fromarray(brighter).save(folder / f"{picture.name}_again.png")
    step = segmented(shard_size=3, folder=folder)
    do(job_at(step.run), "fuse")
    everything = topk(step.run, TopkSettings(k=8))
    ranked = step.run.read_table(TABLE)["image_id"].to_pylist()
    selection = topk(step.run, TopkSettings(k=8, diversity_bits=4))
    kept = step.run.read_table(TABLE)["image_id"].to_pylist()
    assert (everything.num_selected, selection.num_near_duplicates) == (8, 4)
    firsts = {name[:8]: name for name in reversed(ranked)}
    assert sorted(kept) == sorted(firsts.values())
    (folder / kept[0]).unlink()
    selection = topk(step.run, TopkSettings(k=8, diversity_bits=4))
    assert (selection.num_gone, selection.num_near_duplicates) == (1, 3)


def test_masks_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a reader that takes the whole of a shard over the network for three columns."""
    run = RunFolder("memory://corpus/run")
    rng = np.random.default_rng(0)
    pngs = {f"{i:03d}": encode_mask(rng.random((128, 128)) < 0.5) for i in range(100)}
    rows = [Row(name, rng.random()) for name in pngs]
    write_rows(run, [rows], pngs)
    read: list[int] = []
    read_range = RunFolder.read_range

    def counted(self: RunFolder, name: str, start: int, stop: int) -> bytes:
        read.append(stop - start)
        return read_range(self, name, start, stop)

    monkeypatch.setattr(RunFolder, "read_range", counted)
    topk(run, TopkSettings(k=10))
    assert run.size(part("fuse", 0)) > 190_000
    assert sum(read) < 80_000  # the footer is asked for in 64 kB
    monkeypatch.undo()
    run.delete(*(file.name for file in run.walk()))


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_tasks_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a merge that loses ties or counts, over three levels of tasks."""
    from iem_batch.exec.ray import executor

    monkeypatch.setattr(executor, "SHARDS_PER_TASK", 2)
    monkeypatch.setattr(executor, "FAN_IN", 2)
    rng = np.random.default_rng(0)
    rows = [Row(f"{i % 3}/{i:03d}", rng.choice([0.25, 0.5, 0.75])) for i in range(90)]
    run = RunFolder(str(tmp_path / "run"))
    write_rows(run, [rows[start : start + 10] for start in range(0, 90, 10)], {})
    for wanted in (TopkSettings(k=20), TopkSettings(k=20, per_group="folder")):
        here = topk(run, wanted)
        table = run.read_table(TABLE)
        on_ray = executor.RayExecutor(ClusterSettings())
        assert topk(run, wanted, executor=on_ray) == here
        assert run.read_table(TABLE) == table


def test_empty_masks_are_never_labels(tmp_path: Path) -> None:
    """An empty mask teaches the network nothing, however few masks there are."""
    run = RunFolder(str(tmp_path / "run"))
    write_masks(run, [[("a", 0.0), ("b", 0.0)]], status="empty")
    selection = topk(run, TopkSettings(k=5))
    assert (selection.num_images, selection.num_undefined, selection.num_selected) == (2, 2, 0)
    assert run.read_table(TABLE).to_pylist() == []
