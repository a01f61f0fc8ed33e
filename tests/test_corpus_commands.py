"""The commands `topk` and `export`, from settings to folders."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import yaml
from PIL import Image

from iem_batch.cli import main
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.marks import read_mark
from iem_batch.steps.export import files as corpus_files
from tests.calling import Call
from tests.pictures import Picture, write_folder
from tests.test_cli import QUICK

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def selected(tmp_path_factory: pytest.TempPathFactory, pictures: list[Picture]) -> Path:
    """The pictures, and a run of them up to topk."""
    root = tmp_path_factory.mktemp("selected")
    write_folder(root / "pictures", pictures)
    main(["segment", str(root / "pictures"), str(root / "run"), "--local", *QUICK])
    main(["fuse", str(root / "run"), "--local"])
    main(["topk", str(root / "run"), "--local", "-k", "9"])
    return root


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "_run" not in path.parts
    }


def test_histogram_and_cut(selected: Path, call: Call) -> None:
    """The selection is stored, so a second call prints the same and selects nothing anew."""
    outputs = []
    for _ in range(2):
        before = (selected / "run/topk/topk.parquet").stat().st_mtime_ns
        status, output, _ = call("topk", selected / "run", "--local")
        assert status == 0
        assert (selected / "run/topk/topk.parquet").stat().st_mtime_ns == before
        outputs.append(output)
    assert outputs[0] == outputs[1]
    record = read_mark(RunFolder(str(selected / "run")), "topk", 0).facts
    assert sum(record["histogram"]) == 12
    assert sum(record["histogram_selected"]) == 9
    lines = [line for line in outputs[0].splitlines() if " to " in line]
    assert sum(line.rstrip().endswith("cut") for line in lines) == 1
    assert "9 of 12 images" in outputs[0]


def test_another_format_leaves_the_corpus_of_segnet_alone(
    selected: Path,
    call: Call,
) -> None:
    run = selected / "run"
    call("export", run, "--local")
    corpus, config = tree(run / "export"), (run / "_run/config.yaml").read_bytes()
    status, output, error = call("export", run, "--local", "--export.format=coco")
    assert status == 0, error
    assert "9 pairs as coco" in output
    assert (run / "exports/coco-engine-fuse/annotations/instances_train.json").exists()
    assert tree(run / "export") == corpus
    assert (run / "_run/config.yaml").read_bytes() == config


def test_a_folder_of_others_is_not_written_to(
    selected: Path,
    call: Call,
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    to = f"--export.to={tmp_path}"
    for more in ([], ["--overwrite"]):
        status, _, error = call("export", selected / "run", "--local", to, *more)
        assert status == 1
        assert "is not empty and was not made by iem-batch" in error
    assert tree(tmp_path) == before


def test_resumed_and_overwritten(selected: Path, call: Call, tmp_path: Path) -> None:
    run, target = selected / "run", tmp_path / "corpus"
    arguments = ["export", run, "--local", "--export.format=folder", f"--export.to={target}"]
    assert call(*arguments)[0] == 0
    whole = tree(target)
    (target / "_run/stats/export/part-00001.json").unlink()
    lost = next(path for path in (target / "train/images").iterdir())
    untouched = (target / "_run/stats/export/part-00000.json").stat().st_mtime_ns
    lost.unlink()
    (target / "_run/stats/export/part-00002.json").unlink()
    status, output, _ = call(*arguments)
    assert "1 of 3 shards were done before" in output
    assert (target / "_run/stats/export/part-00000.json").stat().st_mtime_ns == untouched
    (target / "notes.txt").write_text("of mine")
    status, _, error = call(*arguments, "--export.size=original")
    assert status == 1
    assert "export.size: 'engine' before, 'original' now" in error
    status, _, error = call(*arguments, "--export.size=original", "--overwrite")
    assert status == 0, error
    now = tree(target)
    assert now["notes.txt"] == b"of mine"
    assert whole.keys() != now.keys()  # some are JPEG again
    assert sum(name.startswith("train/masks/") for name in now) == 9


def test_vanished_and_changed_images_are_named(
    tmp_path: Path,
    call: Call,
    pictures: list[Picture],
) -> None:
    """Catches a mask laid over an image that is another now."""
    write_folder(tmp_path / "pictures", pictures)
    run = tmp_path / "run"
    call("segment", tmp_path / "pictures", run, "--local", *QUICK)
    call("fuse", run, "--local")
    call("topk", run, "--local")
    (tmp_path / "pictures/disc_000.png").unlink()
    Image.new("RGB", (50, 60)).save(tmp_path / "pictures/disc_002.png")
    (tmp_path / "pictures/disc_004.png").write_bytes(b"no image")
    arguments = ["export", run, "--local", "--export.format=folder", "--export.size=original"]
    status, output, error = call(*arguments)
    assert status == 0, error
    assert "9 pairs as folder" in output
    assert "3 selected images are not in" in output
    assert re.search(r"; the first is disc_00[024]\.png: [a-z_]+, ", output)
    target = RunFolder(str(run / "exports/folder-original-fuse"))
    why = {
        row["image_id"]: (row["error_class"], row["message"])
        for file in range(3)
        for row in read_mark(target, "export", file).facts["rejected"]
    }
    assert why["disc_002.png"] == ("changed", "it is 50x60 now and was 80x64 when segmented")
    assert why["disc_000.png"][0] == "missing"
    assert why["disc_004.png"][0] == "not_an_image"
    assert why.keys() == {"disc_000.png", "disc_002.png", "disc_004.png"}


def test_masks_of_segnet_without_those_that_are_empty(
    tmp_path: Path,
    call: Call,
    pictures: list[Picture],
) -> None:
    write_folder(tmp_path / "pictures", pictures)
    run = tmp_path / "run"
    done = call("run", tmp_path / "pictures", run, "--local", *QUICK, "--export.format=webdataset")
    assert done[0] == 0, done[2]
    assert (run / "exports/webdataset-engine-fuse/train-00000.tar").exists()
    assert len(RunFolder(str(run)).names("export")) == 3
    folder = RunFolder(str(run))
    rows = folder.read_table(part("predict", 0))
    status = rows["status"].to_pylist()
    usable = sum(
        value == "ok"
        for shard in range(3)
        for value in folder.read_table(part("predict", shard))["status"].to_pylist()
    )
    if status[0] == "ok":
        broken = rows.set_column(
            rows.schema.get_field_index("status"),
            "status",
            [["empty", *status[1:]]],
        )
        folder.write_table(part("predict", 0), broken)
        usable -= 1
    settings = ["--export.format=coco", "--export.masks=predict"]
    done = call("export", run, "--local", *settings)
    assert done[0] == 0, done[2]
    record = json.loads(
        (run / "exports/coco-engine-predict/annotations/instances_train.json").read_bytes()
    )
    assert len(record["images"]) == usable
    assert "empty_mask" in done[1] or "full_mask" in done[1]


def test_val_share_is_kept_from_segnet(
    selected: Path,
    call: Call,
    tmp_path: Path,
) -> None:
    run = selected / "run"
    call("export", run, "--local", "--export.val_share=0.4", "--overwrite")
    names = RunFolder(str(run)).names("export")
    assert {name.partition("-")[0] for name in names} == {"part", "val"}
    rows = datasets.load_dataset(str(run), "export", cache_dir=str(tmp_path))
    assert len(rows["train"]) + len(rows["validation"]) == 9
    pair = datasets.load_dataset(str(run), cache_dir=str(tmp_path))["train"][0]
    assert pair["image"].size == pair["mask"].size  # what opens first has both
    assert call("status", run)[0] == 0
    status, _, error = call("train", run, "--local")
    assert status == 0, error
    call("export", run, "--local", "--export.val_share=0", "--overwrite")


def test_file_size(selected: Path, call: Call, tmp_path: Path) -> None:
    """A pair of 32 x 32 pixels counts as 3,072 bytes."""
    to = f"--export.to={tmp_path / 'corpus'}"
    call("export", selected / "run", "--local", to, "--export.file_mb=0.0062")
    names = RunFolder(str(tmp_path / "corpus")).names("")
    assert sum(name.endswith(".parquet") for name in names) == 5


def test_to_an_object_store(selected: Path, call: Call, s3_bucket: str) -> None:
    target = RunFolder(f"{s3_bucket}/corpus")
    for _ in range(2):
        arguments = ["--export.format=coco", f"--export.to={target.url}"]
        status, _, error = call("export", selected / "run", "--local", *arguments)
        assert status == 0, error
    record = target.read_json("annotations/instances_train.json")
    names = {image["file_name"] for image in record["images"]}
    assert set(target.names("images/train")) == names
    assert len(names) == 9
    status, _, error = call("export", selected / "run", "--local", f"--export.to={s3_bucket}")
    assert status == 1
    assert "is not empty" in error


def test_short_flags(selected: Path, call: Call, tmp_path: Path) -> None:
    run = tmp_path / "run"
    main(["segment", str(selected / "pictures"), str(run), "--local", *QUICK])
    main(["fuse", str(run), "--local"])
    status, output, error = call("topk", run, "--local", "--fraction", "0.5", "--per-group=folder")
    assert status == 0, error
    assert "6 of 12 images" in output
    stored = yaml.safe_load((run / "_run/config.yaml").read_text())["topk"]
    assert (stored["fraction"], stored["per_group"]) == (0.5, "folder")


def test_original_images_are_not_all_in_memory(
    selected: Path,
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1,024 photographs of 10 MB would take 10 GB of a worker."""
    monkeypatch.setattr(corpus_files, "MAX_FILE_MB", 0.02)  # some pictures of 4 to 15 kB
    to = f"--export.to={tmp_path / 'corpus'}"
    arguments = ["--export.size=original", "--export.pairs_per_file=1024", to]
    assert call("export", selected / "run", "--local", *arguments)[0] == 0
    names = RunFolder(str(tmp_path / "corpus")).names("")
    assert 3 <= sum(name.endswith(".parquet") for name in names) <= 9
