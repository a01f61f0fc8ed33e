"""Patterns of ids choose the same images in every kind of source, and only these are read."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from iem_batch.errors import SourceError
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, IgnoredFile, RawImage, open_source
from iem_batch.sources.names import ALL, Names
from tests import collections_of_photos as collections
from tests.sources.test_tar import image, read_all

PICTURES = {
    f"{folder}/{index}{end}": image(f"{folder}{index}{end}")
    for folder in ("train", "val")
    for index in range(9)
    for end in (".jpg", "_seg.png")
}


def write_lmdb(root: Path, pictures: Mapping[str, bytes]) -> str:
    return collections.write_lmdb(
        root / "lmdb", {name.encode(): data for name, data in pictures.items()}
    )


FORMS: dict[str, Callable[[Path, Mapping[str, bytes]], str]] = {
    "folder": collections.write_folder,
    "tar": collections.write_tar,
    "tars": collections.write_tars,
    "packed tar": collections.write_packed_tar,
    "zip": collections.write_zip,
    "parquet": collections.write_parquet,
    "arrow": collections.write_arrow,
    "jsonl": collections.write_paths,
    "lmdb": write_lmdb,
    "urls": lambda root, pictures: collections.write_url_list(
        root, pictures, lambda name: f"{collections.write_folder(root, pictures)}/{name}"
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "names",
    [
        Names(),
        Names(include="*.jpg"),
        Names(exclude="*_seg.png"),
        Names("*train/*, *[12].jpg", "*/1*"),
        Names(exclude="*_seg.*,*,"),
    ],
    ids=str,
)
def test_the_same_images_are_taken_from_every_kind(tmp_path: Path, form: str, names: Names) -> None:
    """Also in ranges of any size, and by the URL alone, with which all later steps open it."""
    url = FORMS[form](tmp_path, PICTURES)
    source = open_source(url, names=names)
    assert open_source(source.url) == source

    def matches(patterns: str, name: str) -> bool:
        return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))

    whole = read_all(open_source(url))[0]
    kept = {
        name: data
        for name, data in whole.items()
        if matches(names.include or "*", name) and not matches(names.exclude or "", name)
    }
    for max_images in (1, 5, 512):
        assert read_all(source, max_images) == (kept, {})
    ignored = [item for item in source.entries() if isinstance(item, IgnoredFile)]
    beside = {"tar": len(PICTURES), "packed tar": len(PICTURES), "arrow": 1}.get(form, 0)
    assert len(ignored) == len(PICTURES) - len(kept) + beside
    if kept:
        wanted = set(list(kept)[3:5])
        entries = [item for item in source.entries(7) if isinstance(item, Entry)]
        read = [item.image_id for entry in entries for item in source.read(entry, wanted)]
        assert set(read) == wanted


def test_a_repeated_id_that_is_taken_is_a_duplicate(tmp_path: Path) -> None:
    """The places of repeats are counted among the images that are taken."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = ["x.png", "a.jpg", "y.png", "a.jpg", "b.jpg", "x.png"]
    table = pa.table({"image_id": ids, "image": [image(f"{n}") for n in range(6)]})
    pq.write_table(table, tmp_path / "t", row_group_size=4)
    for max_images in (1, 2, 9):
        read = read_all(open_source(f"{tmp_path}/t", names=Names("*.jpg")), max_images)
        assert read == ({"a.jpg": image("1"), "b.jpg": image("4")}, {"a.jpg": "duplicate"})


def test_a_flag_goes_before_the_url(tmp_path: Path) -> None:
    url = FORMS["folder"](tmp_path, PICTURES)
    source = open_source(f"{url}#include=train/*&exclude=*_seg.png", names=Names("val/*"))
    ids = {
        item.image_id for e in source.entries() if isinstance(e, Entry) for item in source.read(e)
    }
    assert ids == {f"val/{index}.jpg" for index in range(9)}
    assert open_source(url).url == open_source(url, names=ALL).url == f"{url}#format=folder"


@pytest.mark.parametrize("pattern", ["a&b*", "100%*", "#1*", "x,*y*"])
def test_patterns_of_any_characters_survive_the_url(tmp_path: Path, pattern: str) -> None:
    for name in ("a&b.jpg", "100%.jpg", "#1.jpg", "y.jpg", "other.jpg"):
        (tmp_path / name).write_bytes(image(name))
    source = open_source(open_source(str(tmp_path), names=Names(pattern)).url)
    [entry] = [item for item in source.entries() if isinstance(item, Entry)]
    [item] = source.read(entry)
    assert isinstance(item, RawImage)
    assert any(fnmatchcase(item.image_id, one) for one in pattern.split(","))


def test_patterns_that_leave_nothing_are_named(tmp_path: Path) -> None:
    url = FORMS["folder"](tmp_path, PICTURES)
    settings = PlanSettings(include="*.JPG")
    with pytest.raises(
        SourceError, match=r"plan.include and plan.exclude leave nothing of .*folder"
    ):
        write_plan(RunFolder(f"{tmp_path}/run"), open_source(url, names=Names("*.JPG")), settings)
