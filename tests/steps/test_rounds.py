"""Rounds of training: interrupted, added one by one, by hand, checked and shown."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from iem_batch.cli import main
from iem_batch.run.folder import RunFolder, failure, mark
from iem_batch.storage.folder import Folder
from tests.pictures import Picture, write_folder, write_masks
from tests.test_cli import QUICK, Call, call  # noqa: F401

TWO_ROUNDS = ["--local", "--rounds", "2"]


class Killed(BaseException):
    """Nothing in the package catches it: the command ends where it stands."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Path:
    """The pictures and their truth; `masks`, a run up to segment, and `run`, one of two rounds."""
    root = tmp_path_factory.mktemp("rounds")
    write_folder(root / "pictures", pictures)
    write_masks(root / "truth", pictures)
    settings = [*QUICK, "--select.k=8"]
    main(["segment", str(root / "pictures"), str(root / "masks"), "--local", *settings])
    shutil.copytree(root / "masks", root / "run")
    truth = f"--truth={root / 'truth'}"
    main(["run", str(root / "pictures"), str(root / "run"), truth, *TWO_ROUNDS])
    return root


def data_files(run: Path) -> dict[str, bytes]:
    """Everything that must not depend on how the run came about."""
    return {
        str(file.relative_to(run)): file.read_bytes()
        for pattern in ("*.parquet", "*.safetensors")
        for file in sorted(run.rglob(pattern))
        if "_run" not in file.parts and "evaluation" not in file.parts
    }


def finish_round(run: Path, call: Call) -> None:  # noqa: F811
    """Do by hand what comes after the selection."""
    for command in ("export", "train", "predict", "refine"):
        assert call(command, run, "--local")[0] == 0


def killed_at(
    monkeypatch: pytest.MonkeyPatch, run: Path, place: str, *arguments: str | Path
) -> None:
    """Run a command that is killed before the first write or removal that a pattern matches."""

    def deadly(method: str) -> Callable[..., object]:
        original = getattr(Folder, method)

        def touch(self: Folder, name: str, *others: bytes) -> object:
            if re.fullmatch(place, f"{method} {self.url_of(name).removeprefix(f'{run}/')}"):
                raise Killed
            return original(self, name, *others)

        return touch

    with monkeypatch.context() as patch:
        for method in ("write_bytes", "delete"):
            patch.setattr(Folder, method, deadly(method))
        with pytest.raises(Killed):
            main([str(argument) for argument in arguments])


def test_each_round_selects_among_the_masks_of_the_one_before(root: Path) -> None:
    run = RunFolder(str(root / "run"))
    first, last = (place.read_table("selection/topk.parquet") for place in (run.round(1), run))
    assert first["init_side"].null_count == 0
    assert last["init_side"].null_count == len(last) == 8
    errors = {
        row["image_id"]: row["error"]
        for shard in range(3)
        for row in run.round(1).read_table(f"predictions/part-{shard:05d}.parquet").to_pylist()
        if row["status"] == "ok"
    }
    best = sorted(errors, key=lambda image_id: (-errors[image_id], image_id))[:8]
    assert last["image_id"].to_pylist() == best
    assert last["error"].to_pylist() == [errors[image_id] for image_id in best]


def test_labels_of_the_second_round_are_predictions_of_the_first(root: Path) -> None:
    """Catches IEM's masks, or those of the round itself, beside the images."""
    run = RunFolder(str(root / "run"))

    def masks_of(place: RunFolder, step: str) -> dict[str, bytes]:
        return {
            row["image_id"]: row["mask"]["bytes"]
            for name in place.names(step)
            for row in place.read_table(f"{step}/{name}").to_pylist()
        }

    labels, predicted = masks_of(run, "corpus"), masks_of(run.round(1), "predictions")
    turned = sum(
        run.read_json(f"_run/stats/corpus/{name}")["turned"]
        for name in run.names("_run/stats/corpus")
    )
    different = [image_id for image_id in labels if labels[image_id] != predicted[image_id]]
    assert len(labels) == 8
    assert len(different) == turned < 8


def test_rounds_killed_at_many_places_end_with_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command after each kill; the last call finds nothing to stop at."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    command = ("run", root / "pictures", run, *TWO_ROUNDS)
    for place in (
        "write_bytes rounds/1/selection/topk.parquet",
        "write_bytes rounds/1/corpus/part-00001.parquet",
        "write_bytes rounds/1/segnet/weights.safetensors",
        "write_bytes rounds/1/_run/stats/predictions/part-00001.json",
        "write_bytes _run/steps/selection.json",
        "write_bytes _run/stats/selection/part-00000.json",
        "write_bytes segnet/weights.safetensors",
        "write_bytes predictions/part-00002.parquet",
        "write_bytes refined/part-00000.parquet",
    ):
        killed_at(monkeypatch, run, place, *command)
    main([str(argument) for argument in command])
    assert data_files(run) == data_files(root / "run")


def test_a_round_added_later_and_killed_ends_with_the_same_bytes(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round is moved, not done again, wherever the move was cut off."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    trained = (run / "segnet/history.json").read_bytes()
    command = ("run", root / "pictures", run, *TWO_ROUNDS)
    for place in (
        "write_bytes rounds/1/predictions/part-00001.parquet",
        "write_bytes rounds/1/_run/steps/selection.json",
        "delete predictions",
        "delete _run/steps/corpus.json",
        "delete _run/steps/selection.json",
        "write_bytes selection/topk.parquet",
    ):
        killed_at(monkeypatch, run, place, *command)
    main([str(argument) for argument in command])
    assert len(list((run / "rounds/1/refined").iterdir())) == 3  # kept, as it was there
    shutil.rmtree(run / "rounds/1/refined")
    assert data_files(run) == data_files(root / "run")
    assert (run / "rounds/1/segnet/history.json").read_bytes() == trained


def test_rounds_by_hand(root: Path, tmp_path: Path, call: Call) -> None:  # noqa: F811
    """One command after the other, each refused as long as what it needs is not there."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    again = ["topk", run, *TWO_ROUNDS]
    status, _, error = call(*again)
    assert status == 1
    assert "has no round 1; `iem-batch topk --rounds 1` begins it" in error
    for command in ("topk", "export", "train"):
        assert call(command, run, "--local")[0] == 0
    assert call(*again)[0] == 1
    assert not (run / "rounds").exists()
    assert call("predict", run, "--local")[0] == 0
    status, output, error = call(*again)
    assert status == 0, error
    assert f"round 1 -> {run}/rounds/1" in output
    assert f"among {run}/rounds/1/predictions" in output
    finish_round(run, call)
    assert data_files(run) == data_files(root / "run")


def test_a_run_in_a_later_round_does_not_go_back_unasked(
    root: Path,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    before = data_files(run)
    for command in (["topk", run], ["run", root / "pictures", run]):
        status, _, error = call(*command, "--local", "--rounds=1")
        assert status == 1
        assert f"{run} is in round 2, and select.rounds is 1" in error
    assert data_files(run) == before
    assert call("topk", run, "--local", "--rounds=1", "--overwrite")[0] == 0
    first = before["rounds/1/selection/topk.parquet"]
    assert (run / "selection/topk.parquet").read_bytes() == first
    assert not RunFolder(str(run)).earlier_rounds()
    assert not (run / "predictions").exists()


def test_overwriting_a_round_keeps_those_before(
    root: Path,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    """Catches masks dropped that the round is to select among."""
    run = shutil.copytree(root / "run", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local", "--rounds=3"])
    assert call("topk", run, *TWO_ROUNDS)[0] == 1
    status, _, error = call("topk", run, *TWO_ROUNDS, "--overwrite")
    assert status == 0, error
    assert len(RunFolder(str(run)).earlier_rounds()) == 1
    finish_round(run, call)
    assert data_files(run) == data_files(root / "run")


def test_a_refused_round_moves_nothing_and_an_accepted_one_keeps_all(
    root: Path,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    assert call("upscale", run, "--local", "--upscale.masks=masks")[0] == 0
    before = data_files(run)
    again = ["run", root / "pictures", run, *TWO_ROUNDS]
    status, _, error = call(*again, "--train.epochs=1")
    assert status == 1
    assert "segnet was begun with other settings" in error
    assert data_files(run) == before
    assert call(*again, "--train.epochs=2")[0] == 0
    after = data_files(run)
    moved = {name: data for name, data in before.items() if name.startswith("upscaled/")}
    assert moved
    assert {f"rounds/1/{name}": data for name, data in moved.items()}.items() <= after.items()


def test_part_of_an_earlier_copy_is_cleared(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,  # noqa: F811
) -> None:
    """A round that is done again, with fewer pairs, after the copy of it was cut off."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    command = ("run", root / "pictures", run, *TWO_ROUNDS)
    killed_at(monkeypatch, run, "write_bytes rounds/1/predictions/part-00001.parquet", *command)
    fewer = [*command[:3], "--local", "--rounds=1", "--select.k=4"]
    assert call(*fewer, "--overwrite")[0] == 0
    status, _, error = call(*command)
    assert status == 0, error
    assert call("verify", run)[0] == 0


def test_other_settings_are_refused_in_the_first_round(
    root: Path,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    """Catches a second round under settings that the first was not made with."""
    run = shutil.copytree(root / "run", tmp_path / "run")
    command = ["run", root / "pictures", run, *TWO_ROUNDS, "--train.epochs=1"]
    status, _, error = call(*command)
    assert status == 1
    assert f"{run}/rounds/1/segnet was begun with other settings" in error
    assert "train.epochs: 2 before, 1 now" in error
    assert call(*command, "--overwrite")[0] == 0
    for place in (run / "rounds/1", run):
        assert len(json.loads((place / "segnet/history.json").read_text())) == 1
        assert (place / "corpus/part-00000.parquet").exists()


def test_rounds_are_checked_and_shown(root: Path, tmp_path: Path, call: Call) -> None:  # noqa: F811
    run = shutil.copytree(root / "run", tmp_path / "run")
    steps = {step["step"]: step for step in json.loads(call("status", run, "--json")[1])}
    assert steps["rounds/1/predictions"]["state"] == steps["predictions"]["state"] == "done"
    summary = json.loads((run / "evaluation/summary.json").read_text())
    methods = [scores["method"] for scores in summary["methods"]]
    assert methods.index("segnet_round_1") + 1 == methods.index("segnet")
    page = (run / "report/index.html").read_text()
    assert "SegNet, round 1" in page
    assert "SegNet, round 2" in page
    table = datasets.load_dataset(
        str(run), "round_1_predictions", split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(table) == 12
    assert call("verify", run)[0] == 0
    (run / "rounds/1/predictions/part-00001.parquet").write_bytes(b"PAR1")
    status, output, _ = call("verify", run)
    assert status == 1
    assert "round 1: predictions/part-00001.parquet" in output


def test_new_masks_drop_all_rounds(root: Path, tmp_path: Path, call: Call) -> None:  # noqa: F811
    run = shutil.copytree(root / "run", tmp_path / "run")
    command = ["segment", root / "pictures", run, "--local", "--iem.iterations=4"]
    assert call(*command)[0] == 1
    assert call(*command, "--overwrite")[0] == 0
    assert not RunFolder(str(run)).earlier_rounds()
    assert data_files(run).keys() == data_files(root / "masks").keys()


def test_a_round_from_refined_masks(root: Path, tmp_path: Path) -> None:
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), *TWO_ROUNDS, "--select.masks=refined"])
    folder = RunFolder(str(run))
    refined = {
        row["image_id"]: row["error"]
        for name in folder.round(1).names("refined")
        for row in folder.round(1).read_table(f"refined/{name}").to_pylist()
    }
    for row in folder.read_table("selection/topk.parquet").to_pylist():
        assert row["error"] == refined[row["image_id"]]


def test_what_failed_in_an_earlier_round_is_done_again(
    root: Path,
    tmp_path: Path,
    call: Call,  # noqa: F811
) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    first = RunFolder(str(run)).round(1)
    first.delete(mark("predictions", 1))
    first.delete("predictions/part-00001.parquet")
    first.write_json(failure("predictions", 1), {"shard": 1, "attempts": 1, "error": "no route"})
    steps = {step["step"]: step for step in json.loads(call("status", run, "--json")[1])}
    assert steps["rounds/1/predictions"]["failed"] == {"1": "no route"}
    assert steps["predictions"]["state"] == "done"
    assert call("retry", run, "--local")[0] == 0
    assert data_files(run) == data_files(root / "run")


def test_a_third_round(root: Path, tmp_path: Path) -> None:
    """Begun at once, or after the second is done: the same."""
    for name in ("masks", "run"):
        shutil.copytree(root / name, tmp_path / name)
        main(["run", str(root / "pictures"), str(tmp_path / name), "--local", "--rounds=3"])
    files = data_files(tmp_path / "masks")
    assert {name.partition("/")[2][0] for name in files if name.startswith("rounds")} == {"1", "2"}
    shutil.rmtree(tmp_path / "run/rounds/2/refined")  # of the time when it was the last
    assert data_files(tmp_path / "run") == files
