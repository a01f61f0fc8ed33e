import json
import shutil
from pathlib import Path

import pytest
import yaml

from iem_batch.cli import main
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from tests.calling import Call
from tests.images.broken import broken_files
from tests.pictures import Picture, textured_disc, write_folder, write_masks

QUICK = [
    "--plan.shard_size=5",
    "--decode.size_px=32",
    "--iem.sigma_px=2",
    "--iem.kernel_px=5",
    "--iem.iterations=5",
    "--segment.backend=auto",
    "--segment.init_shares=[0.375,0.625]",
    "--export.pairs_per_file=4",
    "--segnet.width=4",
    "--train.epochs=2",
    "--train.batch_size=4",
]


def data_files(run: Path) -> dict[str, bytes]:
    """Everything that must not depend on how the run was made: no marks, plans or reports."""
    folders = ("segment", "quarantine", "fuse", "topk", "export", "predict", "refine")
    return {
        str(file.relative_to(run)): file.read_bytes()
        for folder in folders
        for file in sorted((run / folder).rglob("*.parquet"))
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Path:
    """The pictures, their truth and a run with all steps done in one process."""
    root = tmp_path_factory.mktemp("finished")
    write_folder(root / "pictures", pictures)
    write_masks(root / "truth", pictures)
    truth = f"--truth={root / 'truth'}"
    main(["run", str(root / "pictures"), str(root / "run"), truth, "--local", *QUICK])
    return root


def test_run_leaves_everything(finished: Path) -> None:
    run = RunFolder(str(finished / "run"))
    assert run.names("segment") == [
        "part-00000.parquet",
        "part-00001.parquet",
        "part-00002.parquet",
    ]
    assert len(run.names("export")) == 3
    assert run.names("refine") == run.names("predict") == run.names("segment")
    for name in ("_SUCCESS", "README.md", "train/weights.safetensors", "report/index.html"):
        assert run.exists(name), name
    methods = {method["method"] for method in run.read_json("evaluate/summary.json")["methods"]}
    assert {"predict", "refine"} <= methods


def test_stored_settings_are_a_config(finished: Path, call: Call, tmp_path: Path) -> None:
    """Catches a stored file that --config does not take, or that lacks a setting."""
    config = finished / "run" / "_run" / "config.yaml"
    run = tmp_path / "again"
    status, _, error = call("segment", finished / "pictures", run, "--local", f"--config={config}")
    assert status == 0, error
    assert (run / "_run" / "config.yaml").read_bytes() == config.read_bytes()
    masks = {
        name: data for name, data in data_files(finished / "run").items() if "segment/" in name
    }
    assert data_files(run) == masks


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_gives_the_same_files(finished: Path, call: Call, tmp_path: Path) -> None:
    """The same photos through Ray's tasks, actors and training: equal masks, selection, corpus."""
    run = tmp_path / "run"
    status, _, error = call("run", finished / "pictures", run, *QUICK)
    assert status == 0, error
    ours, local = data_files(run), data_files(finished / "run")
    assert ours.keys() == local.keys()
    for name, data in local.items():
        if name.startswith(("segment", "fuse", "topk", "export")):
            assert ours[name] == data, name


def test_doing_it_again_does_nothing(finished: Path, call: Call) -> None:
    """Catches a resumed run that computes what is there, or that does not end well.

    Only what is made anew by each call is written again, with the same bytes.
    """
    run = finished / "run"

    def written() -> dict[Path, int | bytes]:
        scores = run / "evaluate/per_image"
        files = set(run.rglob("part-*")) - set((run / "_run/stats/evaluate").iterdir())
        files -= set((run / "_run/stats/report").iterdir())
        return {
            file: file.read_bytes() if file.parent == scores else file.stat().st_mtime_ns
            for file in files
        }

    before = written()
    status, output, error = call("run", finished / "pictures", run, "--local")
    assert status == 0, error
    assert written() == before
    masks, network, truth, *further = output.partition("\n\nmasks: ")[2].splitlines()
    assert masks.startswith("12 of 12 images have one; those of an image from other first masks")
    assert network.startswith("network: none of the 12 labels was held back")
    assert truth.startswith("truth: IoU of 12 images: ")
    assert {line.partition(":")[0] for line in further} == {"next"}


def test_a_run_with_a_lost_mark_does_only_that_shard(
    finished: Path, call: Call, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    call("segment", finished / "pictures", run, "--local", *QUICK)
    whole = data_files(run)
    (run / "_run/stats/segment/part-00001.json").unlink()
    (run / "segment/part-00001.parquet").write_bytes(b"half a file")
    untouched = (run / "segment/part-00000.parquet").stat().st_mtime_ns
    status, output, _ = call("segment", finished / "pictures", run, "--local")
    assert status == 0
    assert "2 of 3 shards were done before" in output
    assert data_files(run) == whole
    assert (run / "segment/part-00000.parquet").stat().st_mtime_ns == untouched


def test_changed_settings_are_refused_with_the_difference(
    finished: Path, call: Call, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    call("segment", finished / "pictures", run, "--local", *QUICK)
    stored = (run / "_run/config.yaml").read_bytes()
    again = ("segment", finished / "pictures", run, "--local", "--iem.iterations=6")
    status, _, error = call(*again)
    assert status == 1
    assert "iem.iterations: 5 before, 6 now" in error
    assert (run / "_run/config.yaml").read_bytes() == stored
    status, _, error = call(*again, "--overwrite")
    assert status == 0, error
    assert yaml.safe_load((run / "_run/config.yaml").read_text())["iem"]["iterations"] == 6


def test_a_setting_that_a_late_step_refuses_is_not_stored(
    finished: Path, call: Call, tmp_path: Path
) -> None:
    """Catches a plain `run` that is refused because of what was asked for the time before."""
    run = tmp_path / "run"
    shutil.copytree(finished / "run", run)
    stored = (run / "_run/config.yaml").read_bytes()
    again = ("run", finished / "pictures", run, "--local")
    status, _, error = call(*again, "--segnet.width=8")
    assert status == 1
    assert "segnet.width: 4 before, 8 now" in error
    assert (run / "_run/config.yaml").read_bytes() == stored
    status, _, error = call(*again, "--report.num_samples=3")
    assert status == 0, error
    assert yaml.safe_load((run / "_run/config.yaml").read_text())["report"]["num_samples"] == 3


def test_another_source_is_refused(finished: Path, call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("plan", finished / "pictures", run)
    write_folder(tmp_path / "others", [textured_disc(77)])
    status, _, error = call("segment", tmp_path / "others", run, "--local")
    assert status == 1
    assert "others" in error
    assert "pictures" in error


def test_flags_beat_the_file(finished: Path, call: Call, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("plan: {shard_size: 7, limit: 9}\n")
    run = tmp_path / "run"
    status, output, _ = call(
        "plan", finished / "pictures", run, f"--config={config}", "--plan.shard_size=3"
    )
    assert status == 0
    assert "9 images" in output
    assert "in 3 shards" in output


def test_k_is_topk_k(finished: Path, call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    call("segment", finished / "pictures", run, "--local", *QUICK)
    call("fuse", run, "--local")
    status, output, _ = call("topk", run, "-k", "3")
    assert status == 0
    assert "3 of 12 images" in output
    status, _, error = call("topk", run, "-k", "4")
    assert status == 1
    assert "topk.k: 3 before, 4 now" in error


def test_evaluate_beside_another_run(finished: Path, call: Call, tmp_path: Path) -> None:
    run = shutil.copytree(finished / "run", tmp_path / "run")
    truth = f"--truth={finished / 'truth'}"
    arguments = ["evaluate", run, truth, "--evaluate.at=engine"]
    status, output, error = call(*arguments, "--evaluate.quote=[lsun_car]")
    assert status == 0, error
    for shown in ("GrabCut", "Otsu", "quoted, another set", "IEM, lowest IoU: disc_", "95 %"):
        assert shown in output
    status, _, error = call(*arguments, "--against", finished / "run")
    assert status == 1
    assert "were evaluated in different ways" in error
    status, output, error = call("evaluate", run, truth, "--against", finished / "run")
    assert status == 0, error
    assert "difference" in output
    status, _, error = call("report", run, "--against", finished / "run")
    assert status == 0, error
    assert "12 images, which agree by 100.0 %" in (run / "report/index.html").read_text()


def test_status(finished: Path, call: Call) -> None:
    status, output, _ = call("status", finished / "run")
    assert status == 0
    assert "3 / 3" in output
    status, output, _ = call("status", finished / "run", "--json")
    masks = json.loads(output)[0]
    assert (masks["step"], masks["state"], masks["ok"]) == ("segment", "done", 12)


def test_doctor_names_every_backend(call: Call) -> None:
    status, output, _ = call("doctor")
    assert status == 0
    for name in ("native", "torch", "reference"):
        assert f"engine {name}: " in output


def test_two_hundred_good_and_twenty_broken_files(call: Call, tmp_path: Path) -> None:
    """Catches one bad file that takes others with it, or vanishes without a row."""
    source = tmp_path / "mixed"
    write_folder(source, [textured_disc(seed, 40, 40) for seed in range(200)])
    for name, (content, _) in broken_files().items():
        (source / name).write_bytes(content)
    run = tmp_path / "run"
    quick = [*QUICK, "--plan.shard_size=64", "--iem.iterations=1", "--segment.init_shares=[0.5]"]
    status, output, error = call("segment", source, run, "--local", *quick)
    assert status == 0, error
    assert "200 images with masks" in output
    assert "20 images not usable" in output
    folder = RunFolder(str(run))
    rows = sum(len(folder.read_table(part("segment", shard))) for shard in range(4))
    quarantine = [
        row
        for name in folder.names("quarantine")
        for row in folder.read_table(f"quarantine/{name}").to_pylist()
    ]
    assert rows == 200
    assert {row["image_id"]: row["error_class"] for row in quarantine} == {
        name: reason for name, (_, reason) in broken_files().items()
    }
