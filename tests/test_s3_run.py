"""Whole runs from images on an object store into a run folder there."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from iem_batch.cli import main
from iem_batch.run.folder import RunFolder
from iem_batch.storage.folder import Folder
from tests import s3
from tests.faulty_proxy import Faults, every, faulty_proxy
from tests.pictures import textured_disc, write_folder
from tests.test_cli import QUICK

SETTINGS = [*QUICK, "--plan.shard_size=20"]


@pytest.fixture(scope="module")
def bucket(s3_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bucket with 40 pictures and what is no picture under photos/, and its run under plain/."""
    bucket = f"s3://{s3.new_bucket()}"
    local = tmp_path_factory.mktemp("photos")
    write_folder(local, [textured_disc(seed) for seed in range(40)])
    (local / "noise.jpg").write_bytes(b"no image")
    photos = Folder(f"{bucket}/photos")
    for file in local.iterdir():
        photos.write_bytes(file.name, file.read_bytes())
    segment(f"{bucket}/photos", f"{bucket}/plain", "--local")
    return bucket


def segment(source: str, run: str, *flags: str) -> None:
    main(["segment", source, run, *flags, *SETTINGS])


def data_files(run: str) -> dict[str, bytes]:
    folder = Folder(run)
    return {
        found.name: folder.read_bytes(found.name)
        for found in folder.walk()
        if found.name.startswith(("segment/", "quarantine/", "_run/manifest/"))
    }


def test_files_are_those_of_a_run_on_disk(bucket, tmp_path: Path):
    """But for the URIs, which say where an image lies."""
    photos = Folder(f"{bucket}/photos")
    (tmp_path / "photos").mkdir()
    for name in photos.names(""):
        (tmp_path / "photos" / name).write_bytes(photos.read_bytes(name))
    segment(str(tmp_path / "photos"), str(tmp_path / "run"), "--local")
    on_disk, on_s3 = RunFolder(str(tmp_path / "run")), RunFolder(f"{bucket}/plain")
    assert on_s3.names("segment") == on_disk.names("segment") != []
    assert on_s3.names("quarantine") == on_disk.names("quarantine") != []
    for name in on_disk.names("segment"):
        tables = [run.read_table(f"segment/{name}").drop("uri") for run in (on_disk, on_s3)]
        assert tables[0].equals(tables[1])


@pytest.mark.parametrize("where", ["here", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_bad_store_changes_no_byte(bucket, where, s3_server, request):
    """Every fifth request fails: the store is busy, cuts an object off, or loses its answer."""
    if where == "ray":
        request.getfixturevalue("local_ray")
    faults = Faults(every(5, "busy", "cut", "lost"))
    with faulty_proxy(s3_server, faults) as endpoint:
        options = f"?endpoint_url={endpoint}"
        flags = ["--local"] if where == "here" else []
        segment(f"{bucket}/photos{options}", f"{bucket}/{where}{options}", *flags)
    assert min(faults.count("busy"), faults.count("cut"), faults.count("lost")) >= 3
    assert data_files(f"{bucket}/{where}") == data_files(f"{bucket}/plain") != {}
    assert RunFolder(f"{bucket}/{where}").exists("_SUCCESS")


def test_object_that_is_gone_since_the_plan(bucket, s3_bucket):
    photos, run = Folder(f"{s3_bucket}/photos"), RunFolder(f"{s3_bucket}/run")
    for name in Folder(f"{bucket}/photos").names("")[:12]:
        photos.write_bytes(name, Folder(f"{bucket}/photos").read_bytes(name))
    main(["plan", photos.url, run.url, *SETTINGS])
    photos.delete("disc_003.jpg")
    segment(photos.url, run.url, "--local", "--as-planned")
    (name,) = run.names("quarantine")
    with run.open(f"quarantine/{name}") as file:
        (row,) = pq.read_table(file).to_pylist()
    assert (row["image_id"], row["error_class"]) == ("disc_003.jpg", "missing")
    rows = run.read_table("segment/part-00000.parquet", ["image_id"]).to_pylist()
    assert len({row["image_id"] for row in rows}) == 11


@pytest.mark.parametrize(
    ("change", "source", "message"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong-secret"},
            "s3://{bucket}/photos",
            "access denied (Forbidden)",
        ),
        ({}, "s3://no-such-bucket/photos", "s3://no-such-bucket/photos does not exist"),
        ({}, "s3://test:writing@{bucket}/photos", "a s3:// URL holds credentials"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(bucket, change, source, message, tmp_path, monkeypatch):
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    place = source.format(bucket=bucket.removeprefix("s3://"))
    arguments = ["plan", place, str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", "from iem_batch.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert message in line
    assert "writing" not in line
    assert "wrong-secret" not in line
