"""The same pictures from every kind of source give the same masks."""

import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from iem_batch.exec.step import commit
from iem_batch.iem.backends import resolve
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.convert.settings import ConvertSettings
from iem_batch.steps.do import do
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.segment.step import build
from tests import collections_of_photos as collections
from tests.collections_of_photos import Pictures
from tests.pictures import textured_disc
from tests.steps.jobs import IEM, job_at

NUM_PHOTOS = int(os.environ.get("IEM_BATCH_NUM_PHOTOS", "60"))


def encoded(seed: int) -> bytes:
    buffer = io.BytesIO()
    form = ("JPEG", "PNG", "WEBP", "GIF")[seed % 4]
    Image.fromarray(textured_disc(seed, 40, 56).image).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def many() -> Pictures:
    """Photographs if there are some, else drawn pictures, in folders; and two broken ones."""
    if "IEM_BATCH_DATA" in os.environ:
        folder = Path(os.environ["IEM_BATCH_DATA"])
        files = sorted(folder.glob("*/images/*.jpg"))
        step = len(files) // NUM_PHOTOS
        made = {f"{n % 7}/{f.name}": f.read_bytes() for n, f in enumerate(files[::step])}
    else:
        made = {f"{seed % 7}/{seed}.jpg": encoded(seed) for seed in range(60)}
    name, data = next(iter(made.items()))
    broken = {"3/half of it.jpg": data[: len(data) // 2], "ä/empty.jpg": b""}
    return dict(sorted((made | broken | {"é/" + name: data}).items()))


def rows(run: RunFolder, source_url: str, shard_size: int = 16) -> dict[str, dict[str, Any]]:
    """Segment a source; image_id -> its row of segment/ or quarantine/ without the uri."""
    source = open_source(source_url)
    plan = write_plan(run, source, PlanSettings(shard_size=shard_size))
    segment = SegmentSettings(init_shares=(0.375,), backend=resolve("auto"))
    step = build(job_at(run, iem=replace(IEM, iterations=5), segment=segment))
    engine = step.open_engine(1)
    found: list[dict[str, Any]] = []
    for shard in range(plan.num_shards):
        output = engine(step.load(shard))
        assert output.planned <= shard_size
        for name in commit(step, output, 0.0).files:
            found += run.read_table(name).to_pylist()
    assert len(found) == plan.num_images or not plan.is_exact
    by_id = {row.pop("image_id"): row for row in found}
    assert len(by_id) == len(found)
    for row in found:
        del row["uri"]
    return by_id


def without_piece(rows_by_id: dict[str, Any]) -> dict[str, Any]:
    """Ids of a folder of tars have the tar before them."""
    return {re.sub(r"^\d{5}\.tar/", "", key): row for key, row in rows_by_id.items()}


@pytest.fixture(scope="module")
def expected(many: Pictures, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the folder gives."""
    root = tmp_path_factory.mktemp("expected")
    found = rows(RunFolder(str(root / "run")), collections.write_folder(root, many))
    assert found.keys() == many.keys()
    assert {found[name]["error_class"] for name in ("3/half of it.jpg", "ä/empty.jpg")} == {
        "truncated",
        "empty",
    }
    return found


FORMS: dict[str, Callable[[Path, Pictures], str]] = {
    "tar": collections.write_tar,
    "tars": collections.write_tars,
    "parquet": collections.write_parquet,
    "lmdb": lambda root, pictures: collections.write_lmdb(
        root / "lmdb", {name.encode(): data for name, data in pictures.items()}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_on_disk(
    form: str, many: Pictures, expected: dict[str, Any], tmp_path: Path
) -> None:
    found = rows(RunFolder(str(tmp_path / "run")), FORMS[form](tmp_path, many))
    if form == "lmdb":  # a key that is not ASCII is its hexadecimal form
        hexadecimal = {"0x" + name.encode().hex(): name for name in many if not name.isascii()}
        found = {hexadecimal.get(key, key): row for key, row in found.items()}
    assert without_piece(found) == expected


def test_list_of_urls(many: Pictures, expected: dict[str, Any], tmp_path: Path) -> None:
    folder = collections.write_folder(tmp_path, many)
    urls = collections.write_url_list(tmp_path, many, lambda name: f"{folder}/{name}")
    found = rows(RunFolder(str(tmp_path / "run")), urls)
    assert {key.removeprefix(f"{folder}/"): row for key, row in found.items()} == expected


@pytest.mark.parametrize("to", ["parquet", "tar"])
def test_converted_shards(
    to: Any, many: Pictures, expected: dict[str, Any], tmp_path: Path
) -> None:
    """Ids and bytes survive, also names that no file system would take."""
    source = open_source(collections.write_folder(tmp_path, many))
    out = RunFolder(str(tmp_path / "out"))
    write_plan(out, source, PlanSettings(shard_size=50))
    do(job_at(out, convert=ConvertSettings(to=to)), "convert")
    done = require_summary(out, "convert")
    assert (done.ok, done.quarantined) == (len(many), 0)
    assert rows(RunFolder(str(tmp_path / "run")), out.url) == expected


def upload(local: str, bucket: str) -> str:
    """Copy a file or a folder into a bucket; returns its URL."""
    from iem_batch.storage.folder import Folder

    path = Path(local)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        Folder(bucket).write_bytes(str(file.relative_to(path.parent)), file.read_bytes())
    return f"{bucket}/{path.name}"


@pytest.mark.parametrize("form", ["folder", "tar", "tars", "parquet", "urls"])
def test_every_form_on_s3(
    form: str, many: Pictures, expected: dict[str, Any], tmp_path: Path, s3_bucket: str
) -> None:
    """A real S3 server, and the run on it as well."""
    if form in ("folder", "urls"):
        local = collections.write_folder(tmp_path, many)
    else:
        local = FORMS[form](tmp_path, many)
    url = upload(local, s3_bucket)
    prefix = ""
    if form == "urls":
        prefix = f"{url}/"
        urls = collections.write_url_list(tmp_path, many, lambda name: f"{prefix}{name}")
        url = upload(urls, s3_bucket)
    # Large enough that the archives are read without having been looked through.
    found = rows(RunFolder(f"{s3_bucket}/run"), url, shard_size=16 if form != "tars" else 64)
    assert {key.removeprefix(prefix): row for key, row in without_piece(found).items()} == expected
