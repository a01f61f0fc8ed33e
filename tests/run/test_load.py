import shutil
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from iem_batch.errors import IntegrityError, SourceError
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.plan import Plan, write_plan
from iem_batch.run.schema import QUARANTINE
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import FolderSource, RawImage, Source, open_source, tar
from iem_batch.storage.folder import Folder
from tests.collections_of_photos import write_lmdb
from tests.images.broken import encoded, write_broken_folder
from tests.pictures import textured_disc, write_folder
from tests.sources.test_tar import tar_of

SMALL = DecodeSettings(size_px=32)


def planned(tmp_path: Path, folder: Path, shard_size: int) -> tuple[RunFolder, Source, Plan]:
    run, source = RunFolder(str(tmp_path / "run")), open_source(str(folder))
    return run, source, write_plan(run, source, PlanSettings(shard_size=shard_size))


def test_images_in_the_order_of_the_plan(tmp_path: Path, picture_folder: Path):
    run, source, _ = planned(tmp_path, picture_folder, shard_size=8)
    files = sorted(picture_folder.iterdir())[8:]
    loaded = load_shard(run, 1, source, SMALL)
    assert (loaded.shard, loaded.planned, loaded.rejected) == (1, 4, [])
    assert loaded.image_id == [file.name for file in files]
    assert loaded.uri == [str(file) for file in files]
    assert (loaded.width, loaded.height) == ([80] * 4, [64] * 4)
    assert loaded.image_BHW3.dtype == np.uint8
    for image, file in zip(loaded.image_BHW3, files, strict=True):
        np.testing.assert_array_equal(image, decode(file.read_bytes(), SMALL).pixels)


def test_twenty_kinds_of_broken_files_among_200_good_ones(tmp_path: Path):
    """Each broken file costs itself and no neighbour, and is named with its reason."""
    folder = tmp_path / "photos"
    write_folder(folder, [textured_disc(seed, 32, 40) for seed in range(200)])
    good = {path.name for path in folder.iterdir()}
    reasons = write_broken_folder(folder)
    assert (len(good), len(reasons)) == (200, 20)

    run, source, plan = planned(tmp_path, folder, shard_size=64)
    shards = [load_shard(run, shard, source, SMALL) for shard in range(plan.num_shards)]
    assert sum(loaded.planned for loaded in shards) == plan.num_images == 220
    assert all(len(loaded.image_BHW3) == len(loaded.image_id) for loaded in shards)
    image_ids = [image_id for loaded in shards for image_id in loaded.image_id]
    assert len(image_ids) == 200
    assert set(image_ids) == good

    rows = [row for loaded in shards for row in loaded.rejected]
    assert {row["image_id"]: row["error_class"] for row in rows} == reasons
    assert len(rows) == 20
    for row in rows:
        assert list(row) == QUARANTINE.names
        assert row["uri"] == f"{folder}/{row['image_id']}"
        assert row["message"]


def test_all_rejected(tmp_path: Path):
    """An empty stack has the shape of an image, so that engines need no special case."""
    write_broken_folder(tmp_path / "photos")
    run, source, _ = planned(tmp_path, tmp_path / "photos", shard_size=512)
    loaded = load_shard(run, 0, source, SMALL)
    assert loaded.image_BHW3.shape == (0, 32, 32, 3)
    assert (loaded.image_id, loaded.width) == ([], [])
    assert loaded.planned == len(loaded.rejected) == 20


def test_file_deleted_after_planning(tmp_path: Path, picture_folder: Path):
    run, source, _ = planned(tmp_path, picture_folder, shard_size=512)
    first = min(picture_folder.iterdir())
    first.unlink()
    loaded = load_shard(run, 0, source, SMALL)
    assert (len(loaded.image_id), loaded.planned) == (11, 12)
    [row] = loaded.rejected
    assert (row["image_id"], row["error_class"]) == (first.name, "missing")


def test_vanished_source_fails_the_shard(tmp_path: Path, picture_folder: Path):
    run, source, _ = planned(tmp_path, picture_folder, shard_size=512)
    shutil.rmtree(picture_folder)
    with pytest.raises(SourceError, match="gone or empty"):
        load_shard(run, 0, source, SMALL)


def test_wanted_images_only(tmp_path: Path, picture_folder: Path):
    run, source, _ = planned(tmp_path, picture_folder, shard_size=512)
    wanted = {"disc_003.jpg", "disc_001.jpg"}
    loaded = load_shard(run, 0, source, SMALL, wanted)
    assert loaded.image_id == ["disc_001.jpg", "disc_003.jpg"]
    assert loaded.planned == 2


class ForgetfulSource(FolderSource):
    def read(self, entry, wanted=None):
        return (item for item in super().read(entry, wanted) if "005" not in entry.uri)


class RepeatingSource(FolderSource):
    def read(self, entry, wanted=None):
        for item in super().read(entry, wanted):
            assert isinstance(item, RawImage)
            yield from [item, item] if "005" in entry.uri else [item]


@pytest.mark.parametrize("source_class", [ForgetfulSource, RepeatingSource])
def test_source_that_loses_or_repeats_an_image(tmp_path: Path, picture_folder: Path, source_class):
    run, _, _ = planned(tmp_path, picture_folder, shard_size=512)
    with pytest.raises(IntegrityError, match="shard 0 has 1[0-9]* images, and its source gave"):
        load_shard(run, 0, source_class(Folder(str(picture_folder))), SMALL)


def test_garbage_in_a_database_costs_itself(tmp_path: Path):
    """Values that are no image are quarantined by their key, with the decoder's reason."""
    jpeg = encoded(Image.fromarray(textured_disc(0).image), "JPEG")
    values = {b"a": jpeg, b"b": b"garbage", b"c": b"", b"d": jpeg[:300], b"e": jpeg}
    run = RunFolder(str(tmp_path / "run"))
    source = open_source(write_lmdb(tmp_path / "lmdb", values))
    write_plan(run, source, PlanSettings())
    loaded = load_shard(run, 0, source, SMALL)
    assert loaded.image_id == ["a", "e"]
    reasons = {row["image_id"]: row["error_class"] for row in loaded.rejected}
    assert reasons == {"b": "not_an_image", "c": "empty", "d": "truncated"}


def test_estimated_archive_counts_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The plan's guess must neither cut an archive nor be taken for a loss."""
    monkeypatch.setattr(tar, "SAMPLE_BYTES", 2048)
    names = [f"{index}.jpg" for index in range(30)]
    MemoryFileSystem().pipe_file("/bucket-load/x.tar", tar_of(*names))
    run = RunFolder(str(tmp_path / "run"))
    source = open_source("memory://bucket-load")
    plan = write_plan(run, source, PlanSettings())
    assert not plan.is_exact
    assert plan.num_images != 30
    assert load_shard(run, 0, source, SMALL).planned == 30


def test_remote_files_come_in_the_order_of_the_plan(tmp_path: Path, picture_folder: Path):
    """They are read by several threads."""
    for file in picture_folder.iterdir():
        MemoryFileSystem().pipe_file(f"/bucket-order/{file.name}", file.read_bytes())
    run = RunFolder(str(tmp_path / "run"))
    source = open_source("memory://bucket-order")
    write_plan(run, source, PlanSettings())
    loaded = load_shard(run, 0, source, SMALL)
    assert loaded.image_id == sorted(file.name for file in picture_folder.iterdir())
