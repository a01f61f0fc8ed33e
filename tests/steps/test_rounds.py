"""Rounds of training: interrupted, added one by one, by hand, checked and shown."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

from iem_batch.cli import main
from iem_batch.run import layout
from iem_batch.run.deletion import reopen
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Failure, read_mark, write_failure
from iem_batch.steps.topk.step import TABLE
from iem_batch.storage.folder import Folder
from tests.calling import Call
from tests.pictures import Picture, write_folder, write_masks
from tests.test_cli import QUICK

TWO_ROUNDS = ["--local", "--rounds", "2"]

OF_A_ROUND = ("topk", "export", "train", "predict", "refine")


class Killed(BaseException):
    """Nothing in the package catches it: the command ends where it stands."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Path:
    """The pictures and their truth; `masks`, a run up to fuse, and `run`, one of two rounds."""
    root = tmp_path_factory.mktemp("rounds")
    write_folder(root / "pictures", pictures)
    write_masks(root / "truth", pictures)
    settings = [*QUICK, "--topk.k=8"]
    main(["segment", str(root / "pictures"), str(root / "masks"), "--local", *settings])
    main(["fuse", str(root / "masks"), "--local"])
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
        if "_run" not in file.parts and "evaluate" not in file.parts
    }


def without(files: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if not name.startswith(f"{folder}/")}


def first_round(run: Path) -> dict[str, tuple[bytes, int]]:
    """All that the first round has written, with its marks, and when."""
    return {
        str(file.relative_to(run)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(run.rglob("*"))
        if file.is_file()
        and "rounds" not in file.parts
        and (set(file.parts) | {file.stem}) & {"segment", "fuse", *OF_A_ROUND}
    }


def finish_round(run: Path, call: Call) -> None:
    """Do by hand what comes after the selection."""
    for command in OF_A_ROUND[1:]:
        assert call(command, run, "--local")[0] == 0


def killed_at(
    monkeypatch: pytest.MonkeyPatch, run: Path, place: str, *arguments: str | Path
) -> None:
    """Run a command that is killed before the first write or removal that a pattern matches."""

    def deadly(method: str) -> Callable[..., object]:
        original = getattr(Folder, method)

        def touch(self: Folder, *arguments: str | bytes) -> object:
            for name in arguments if method == "delete" else arguments[:1]:
                if re.fullmatch(place, f"{method} {self.url_of(name).removeprefix(f'{run}/')}"):
                    raise Killed
            return original(self, *arguments)

        return touch

    with monkeypatch.context() as patch:
        for method in ("write_bytes", "create", "delete"):
            patch.setattr(Folder, method, deadly(method))
        with pytest.raises(Killed):
            main([str(argument) for argument in arguments])


def test_each_round_selects_among_the_masks_of_the_one_before(root: Path) -> None:
    run = RunFolder(str(root / "run"))
    last = run.below("rounds/2").read_table(TABLE)
    assert len(last) == 8
    errors = {
        row["image_id"]: row["error"]
        for shard in range(3)
        for row in run.read_table(layout.part("predict", shard)).to_pylist()
        if row["status"] == "ok"
    }
    best = sorted(errors, key=lambda image_id: (-errors[image_id], image_id))[:8]
    assert last["image_id"].to_pylist() == best
    assert last["error"].to_pylist() == [errors[image_id] for image_id in best]


def test_labels_of_the_second_round_are_predictions_of_the_first(root: Path) -> None:
    """Catches IEM's masks, or those of the round itself, beside the images."""
    run = RunFolder(str(root / "run"))
    second = run.below("rounds/2")

    def masks_of(place: RunFolder, step: str) -> dict[str, bytes]:
        return {
            row["image_id"]: row["mask"]["bytes"]
            for name in place.names(step)
            for row in place.read_table(f"{step}/{name}").to_pylist()
        }

    labels, predicted = masks_of(second, "export"), masks_of(run, "predict")
    num_files = len(second.names("export"))
    turned = sum(read_mark(second, "export", file).facts["turned"] for file in range(num_files))
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
        "write_bytes topk/topk.parquet",
        "write_bytes export/part-00001.parquet",
        "write_bytes train/weights.safetensors",
        "write_bytes _run/stats/predict/part-00001.json",
        "create rounds/2/_run/steps/topk.json",
        "write_bytes rounds/2/_run/stats/topk/part-00000.json",
        "write_bytes rounds/2/train/weights.safetensors",
        "write_bytes rounds/2/predict/part-00002.parquet",
        "write_bytes rounds/2/refine/part-00000.parquet",
    ):
        killed_at(monkeypatch, run, place, *command)
    main([str(argument) for argument in command])
    assert data_files(run) == data_files(root / "run")


def test_a_round_added_later_and_killed_leaves_the_first_as_it_is(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a byte, mark or time of the first round changes, wherever the second was cut off."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    before = first_round(run)
    assert {f"_run/done/{step}.json" for step in ("segment", "fuse", *OF_A_ROUND)} < before.keys()
    command = ("run", root / "pictures", run, *TWO_ROUNDS)
    for place in (
        "create rounds/2/_run/steps/topk.json",
        "write_bytes rounds/2/topk/topk.parquet",
        "write_bytes rounds/2/_run/done/topk.json",
        "write_bytes rounds/2/_run/train/.*",
        "delete rounds/2/_run/train/.*",
        "write_bytes rounds/2/predict/part-00001.parquet",
    ):
        killed_at(monkeypatch, run, place, *command)
        assert first_round(run) == before
    main([str(argument) for argument in command])
    assert first_round(run) == before
    # Kept from when the first round was the last.
    assert without(data_files(run), "refine") == data_files(root / "run")


def test_rounds_by_hand(root: Path, tmp_path: Path, call: Call) -> None:
    """One command after the other, each refused as long as what it needs is not there."""
    run = shutil.copytree(root / "masks", tmp_path / "run")
    again = ["topk", run, *TWO_ROUNDS]
    for command in ("topk", "export", "train"):
        status, _, error = call(*again)
        assert status == 1
        assert "predict first, which" in error
        assert not (run / "rounds").exists()
        assert call(command, run, "--local")[0] == 0
    assert call(*again)[0] == 1
    assert call("predict", run, "--local")[0] == 0
    status, output, error = call(*again)
    assert status == 0, error
    assert f"among {run}/predict -> {run}/rounds/2/topk/topk.parquet" in output.replace("\n", " ")
    finish_round(run, call)
    assert data_files(run) == data_files(root / "run")


def test_an_earlier_round_is_gone_back_to_only_if_asked(
    root: Path,
    tmp_path: Path,
    call: Call,
) -> None:
    """Nothing of a later round is lost by a command on an earlier one, but by --overwrite."""
    run = shutil.copytree(root / "run", tmp_path / "run")
    before, config = data_files(run), (run / "_run/config.yaml").read_bytes()
    assert call("topk", run, "--local", "--rounds=1")[0] == 0
    assert data_files(run) == before
    status, _, error = call("topk", run, "--local", "--rounds=1", "--topk.k=4")
    assert status == 1
    assert "topk.k: 8 before, 4 now" in error
    assert data_files(run) == before
    assert (run / "_run/config.yaml").read_bytes() == config
    assert call("topk", run, "--local", "--rounds=1", "--topk.k=4", "--overwrite")[0] == 0
    assert not (run / "rounds").exists()
    assert not (run / "predict").exists()
    assert (run / "segment/part-00000.parquet").exists()


def test_overwriting_a_round_keeps_those_before(
    root: Path,
    tmp_path: Path,
    call: Call,
) -> None:
    """Catches masks dropped that the round is to select among."""
    run = shutil.copytree(root / "run", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local", "--rounds=3"])
    before = first_round(run)
    fewer = ("topk", run, *TWO_ROUNDS, "--topk.k=7")
    assert call(*fewer)[0] == 1
    assert (run / "rounds/3/topk/topk.parquet").exists()
    status, _, error = call(*fewer, "--overwrite")
    assert status == 0, error
    assert not (run / "rounds/3").exists()
    assert first_round(run) == before
    assert call("topk", run, *TWO_ROUNDS, "--topk.k=8", "--overwrite")[0] == 0
    finish_round(run, call)
    assert data_files(run) == data_files(root / "run")


def test_a_refused_round_changes_nothing_and_an_accepted_one_keeps_all(
    root: Path,
    tmp_path: Path,
    call: Call,
) -> None:
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    assert call("upscale", run, "--local", "--upscale.masks=fuse")[0] == 0
    before = data_files(run)
    assert any(name.startswith("upscale/") for name in before)
    again = ["run", root / "pictures", run, *TWO_ROUNDS]
    status, _, error = call(*again, "--train.epochs=1")
    assert status == 1
    assert "train was begun with other settings" in error
    assert data_files(run) == before
    assert call(*again, "--train.epochs=2")[0] == 0
    assert before.items() <= data_files(run).items()


def test_a_first_round_done_again_drops_the_half_of_a_second(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
) -> None:
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), "--local"])
    command = ("run", root / "pictures", run, *TWO_ROUNDS)
    killed_at(monkeypatch, run, "write_bytes rounds/2/predict/part-00001.parquet", *command)
    fewer = [*command[:3], "--local", "--rounds=1", "--topk.k=4"]
    assert call(*fewer, "--overwrite")[0] == 0
    assert not data_files(run / "rounds")
    status, _, error = call(*command)
    assert status == 0, error
    assert len(RunFolder(str(run / "rounds/2")).read_table(TABLE)) == 4
    assert call("verify", run)[0] == 0


def test_other_settings_are_refused_in_the_first_round(
    root: Path,
    tmp_path: Path,
    call: Call,
) -> None:
    """Catches a second round under settings that the first was not made with."""
    run = shutil.copytree(root / "run", tmp_path / "run")
    command = ["run", root / "pictures", run, *TWO_ROUNDS, "--train.epochs=1"]
    status, _, error = call(*command)
    assert status == 1
    assert f"{run}/train was begun with other settings" in error
    assert "train.epochs: 2 before, 1 now" in error
    assert call(*command, "--overwrite")[0] == 0
    for place in (run, run / "rounds/2"):
        assert len(json.loads((place / "train/history.json").read_text())) == 1
        assert (place / "export/part-00000.parquet").exists()


def test_rounds_are_checked_and_shown(root: Path, tmp_path: Path, call: Call) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    steps = {step["step"]: step for step in json.loads(call("status", run, "--json")[1])}
    assert steps["rounds/2/predict"]["state"] == steps["predict"]["state"] == "done"
    summary = json.loads((run / "evaluate/summary.json").read_text())
    methods = [scores["method"] for scores in summary["methods"]]
    assert methods.index("predict_round_1") + 1 == methods.index("predict")
    page = (run / "report/index.html").read_text()
    assert "SegNet, round 1" in page
    assert "SegNet, round 2" in page
    table = datasets.load_dataset(
        str(run), "rounds_2_predict", split="train", cache_dir=str(tmp_path / "cache")
    )
    assert len(table) == 12
    assert call("verify", run)[0] == 0
    (run / "rounds/2/predict/part-00001.parquet").write_bytes(b"PAR1")
    status, output, _ = call("verify", run)
    assert status == 1
    assert "rounds/2/predict/part-00001.parquet" in output


def test_new_masks_drop_all_rounds(root: Path, tmp_path: Path, call: Call) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    command = ["segment", root / "pictures", run, "--local", "--iem.iterations=4"]
    assert call(*command)[0] == 1
    assert call(*command, "--overwrite")[0] == 0
    assert not (run / "rounds").exists()
    assert data_files(run).keys() == without(data_files(root / "masks"), "fuse").keys()


def test_a_round_from_refined_masks(root: Path, tmp_path: Path) -> None:
    run = shutil.copytree(root / "masks", tmp_path / "run")
    main(["run", str(root / "pictures"), str(run), *TWO_ROUNDS, "--topk.masks=refine"])
    folder = RunFolder(str(run))
    refined = {
        row["image_id"]: row["error"]
        for name in folder.names("refine")
        for row in folder.read_table(f"refine/{name}").to_pylist()
    }
    for row in folder.below("rounds/2").read_table(TABLE).to_pylist():
        assert row["error"] == refined[row["image_id"]]


@pytest.mark.parametrize("place", [".", "rounds/2"])
def test_what_failed_in_a_round_is_done_again(
    root: Path,
    tmp_path: Path,
    call: Call,
    place: str,
) -> None:
    run = shutil.copytree(root / "run", tmp_path / "run")
    of_round = RunFolder(str((run / place).resolve()))
    reopen(of_round, "predict", [1])
    of_round.delete("predict/part-00001.parquet")
    lost = Failure(shard=1, attempts=1, error="no route", time=0.0, host="here")
    write_failure(of_round, "predict", lost)
    steps = {step["step"]: step for step in json.loads(call("status", run, "--json")[1])}
    failed, other = "predict", "rounds/2/predict"
    if place != ".":
        failed, other = other, failed
    assert steps[failed]["failed"] == {"1": "no route"}
    assert steps[other]["state"] == "done"
    assert call("retry", run, "--local")[0] == 0
    assert data_files(run) == data_files(root / "run")


def test_a_third_round(root: Path, tmp_path: Path) -> None:
    """Begun at once, or after the second is done: the same."""
    for name in ("masks", "run"):
        shutil.copytree(root / name, tmp_path / name)
        main(["run", str(root / "pictures"), str(tmp_path / name), "--local", "--rounds=3"])
    files = data_files(tmp_path / "masks")
    assert {name.split("/")[1] for name in files if name.startswith("rounds")} == {"2", "3"}
    # Of the time when it was the last.
    assert without(data_files(tmp_path / "run"), "rounds/2/refine") == files
