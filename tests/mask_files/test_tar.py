"""Masks in tar archives, and the places of masks by name."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from iem_batch.errors import MaskError
from iem_batch.images.png import encode_mask
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.places import Places
from iem_batch.mask_files.settings import MaskFileSettings, Meaning
from iem_batch.mask_files.tar import TarMasks
from iem_batch.sources import open_source
from iem_batch.sources.tar_members import ID_COMMENT
from tests.mask_files.test_folder import SETTINGS
from tests.steps.hand_made import SIZE, square


def write(file: Path, members: dict[str, bytes], comment: str = "") -> str:
    file.parent.mkdir(exist_ok=True)
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if comment:
                info.pax_headers = {"comment": comment}
            tar.addfile(info, io.BytesIO(data))
    return str(file)


def png(k: int) -> bytes:
    return encode_mask(square(k, 0, 2))


def opened(url: str) -> TarMasks:
    masks = open_masks(url, MaskFileSettings(), SETTINGS)
    assert isinstance(masks, TarMasks)
    return masks


def test_members_are_found_by_their_paths(tmp_path: Path) -> None:
    """One archive, as a file and as the only one of a folder; what is no picture is passed over."""
    members = {"a/0.png": png(0), "./b/0.PNG": png(1), "1.png": png(2), "note.txt": b"no"}
    url = write(tmp_path / "masks/all.tar", members)
    for masks in (opened(url), opened(str(tmp_path / "masks"))):
        assert masks.num_images == 3
        for image_id, k in (("a/0.jpg", 0), ("b/0.jpg", 1), ("1.webp", 2)):
            assert masks.has(image_id)
            np.testing.assert_array_equal(masks.read(image_id, SIZE, SIZE), square(k, 0, 2))
        assert not masks.has("0.jpg")
        assert not masks.has("note.jpg")
        assert masks.example() == "1.png"


def test_archives_beside_those_of_the_images(tmp_path: Path) -> None:
    """Members of one name in two archives: the archive's own name tells them apart."""
    for k in range(2):
        write(tmp_path / f"masks/{k}.tar", {"000.png": png(k)})
        write(tmp_path / f"photos/{k}.tar", {"000.jpg": b"\xff\xd8\xff"})
    masks, source = opened(str(tmp_path / "masks")), open_source(str(tmp_path / "photos"))
    ids = [item.image_id for entry in source.entries() for item in source.read(entry)]  # type: ignore[union-attr]
    assert ids == ["0.tar/000.jpg", "1.tar/000.jpg"]
    for k, image_id in enumerate(ids):
        np.testing.assert_array_equal(masks.read(image_id, SIZE, SIZE), square(k, 0, 2))
    with pytest.raises(MaskError, match=r"has 2 masks of 000\.jpg; keep one of them"):
        masks.has("000.jpg")


def test_the_id_that_convert_gives_a_member(tmp_path: Path) -> None:
    url = write(tmp_path / "x/y.tar", {"mangled.png": png(1)}, f"{ID_COMMENT}photos/ä.jpg")
    np.testing.assert_array_equal(opened(url).read("photos/ä.jpg", SIZE, SIZE), square(1, 0, 2))


def test_what_cannot_be_read(tmp_path: Path) -> None:
    url = write(tmp_path / "x/y.tar", {"a.png": png(0)[:20]})
    with pytest.raises(MaskError, match=r"mask of a\.jpg in .*y\.tar cannot be used as a mask"):
        opened(url).read("a.jpg", SIZE, SIZE)
    (tmp_path / "no.tar").write_bytes(b"no archive")
    with pytest.raises(MaskError, match=r"has no mask in it"):
        TarMasks(str(tmp_path / "no.tar"), SETTINGS, Meaning())


def test_places_of_many_names() -> None:
    """In any order, with a name that has two places."""
    places, rng = Places(), np.random.default_rng(0)
    order = rng.permutation(1000).tolist()
    for k in order:
        places.add(f"name {k}", (k, 2 * k, 2**40 + k))
    places.sort()
    assert len(places) == 1000
    for k in (0, 999, 500):
        assert places.find(f"name {k}") == [(k, 2 * k, 2**40 + k)]
    assert places.find("name 1000") == places.repeated() == []
    for name, place in (("a", (5, 0, 0)), ("b", (1, 1, 1)), ("a", (0, 0, 1))):
        places.add(name, place)
    places.sort()
    assert places.find("a") == [(5, 0, 0), (0, 0, 1)]
    assert places.repeated() == [(0, 0, 1)]
