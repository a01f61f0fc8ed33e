"""The cards of a corpus and of a run: what the Hub reads of them, and what people do."""

from pathlib import Path

import pytest
from huggingface_hub import DatasetCard

from iem_batch.errors import SettingsError
from iem_batch.run.folder import RunFolder
from iem_batch.steps.card import card_head
from iem_batch.steps.export.formats import FORMATS
from iem_batch.steps.export.pairs import portable
from iem_batch.steps.export.settings import ExportSettings
from tests.steps.export.exports import NAMES, export


def test_what_the_hub_reads(awkward: RunFolder, tmp_path: Path) -> None:
    target = export(awkward, to=str(tmp_path), val_share=0.5, license="cc-by-4.0")
    card = DatasetCard(target.read_bytes("README.md").decode())
    head = card.data
    assert head.license == "cc-by-4.0"
    assert head.task_categories == ["image-segmentation"]
    assert head.size_categories == ["n<1K"]
    assert "- photos: brought to 32 x 32 pixels by crop, nearest" in card.text
    assert "- 12 pairs: 3 in train, 9 in val.\n- They were selected of 12 images" in card.text


def test_nobody_has_said_the_licence(awkward: RunFolder, tmp_path: Path) -> None:
    target = export(awkward, to=str(tmp_path))
    assert DatasetCard(target.read_bytes("README.md").decode()).data.license is None
    with pytest.raises(SettingsError, match=r"export.license is 'My own'; it must be a name that"):
        ExportSettings(license="My own")


@pytest.mark.parametrize("kind", FORMATS)
def test_no_path_of_this_machine(awkward: RunFolder, tmp_path: Path, kind: str) -> None:
    """Catches one that leaves with a corpus; it is there if it was asked for."""
    source = f"{Path(awkward.url).parent}/images"
    for asked in (False, True):
        target = export(awkward, format=kind, to=f"{tmp_path}/{asked}", local_paths=asked)
        root = Path(target.url)
        told = [
            path
            for path in root.rglob("*")
            if path.is_file() and path.relative_to(root).parts[0] != "_run"
            if source.encode() in path.read_bytes()
        ]
        assert bool(told) == asked


@pytest.mark.parametrize(
    ("uri", "source", "portable_uri"),
    [
        ("/photos/a/b.jpg", "/photos", "a/b.jpg"),
        ("/data/photos.tar#a/b.jpg", "/data/photos.tar", "photos.tar#a/b.jpg"),
        ("/data/tars/1.tar#a/b.jpg", "/data/tars", "1.tar#a/b.jpg"),
        ("s3://bucket/a.jpg", "s3://bucket", "s3://bucket/a.jpg"),
        ("https://x.org/a.jpg", "/data/list.txt", "https://x.org/a.jpg"),
    ],
)
def test_portable(uri: str, source: str, portable_uri: str) -> None:
    assert portable(uri, source) == portable_uri


@pytest.mark.parametrize(
    ("num_rows", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (123_456, "100K<n<1M"), (10**9, "1B<n<10B")],
)
def test_size_category(num_rows: int, category: str) -> None:
    head = card_head(None, num_rows, [])
    assert DatasetCard(f"{head}text").data.size_categories == [category]


def test_card_of_a_run(awkward: RunFolder) -> None:
    card = DatasetCard(awkward.read_bytes("README.md").decode())
    assert [each["config_name"] for each in card.data.configs if "default" in each] == ["fuse"]
    assert f"- {len(NAMES)} images have a mask, 0 could not be used." in card.text
    assert "- fuse: the masks of a photo made one" in card.text
