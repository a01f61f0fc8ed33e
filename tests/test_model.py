"""A trained network without a run: `iem_batch.load`."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import iem_batch
from iem_batch import model_file
from iem_batch.errors import ImageRejectedError, SettingsError, StorageError
from iem_batch.images.geometry import mask_to_square
from iem_batch.images.settings import DecodeSettings
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import ModelRecord, save_weights
from tests.documentation import example
from tests.pictures import textured_disc
from tests.segnet import networks

ROOT = Path(__file__).parents[1]
RECORD = ModelRecord(
    segnet=SegNetSettings(width=4, num_blocks=1), decode=DecodeSettings(size_px=32), threshold=0.4
)


def weights(record: ModelRecord = RECORD) -> bytes:
    torch.manual_seed(0)
    return save_weights(SegNet(record.segnet), record)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(weights())
    return path


def test_example_of_the_readme(tmp_path: Path) -> None:
    """In a process that can import neither Ray nor pyarrow."""
    example_code = example("from iem_batch import load")
    (tmp_path / "RUN/train").mkdir(parents=True)
    (tmp_path / "RUN/train/weights.safetensors").write_bytes(weights())
    for seed, name in enumerate(re.findall(r'"([^"]+\.jpg)"', example_code)):
        Image.fromarray(textured_disc(seed, 60, 90).image).save(tmp_path / name)
    blocked = "import sys; sys.modules['ray'] = sys.modules['pyarrow'] = None"
    shown = "print(result.plot().size, result.masks[0].shape, result.masks[0].dtype)"
    code = "\n".join([blocked, example_code, shown])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("(60, 90) bool\n")


def test_every_way_to_give_an_image_gives_the_same_mask(tmp_path: Path, file: Path) -> None:
    picture = textured_disc(3, 60, 90).image
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    channels_first = torch.from_numpy(picture).movedim(2, 0)
    given = [str(path), path, path.as_uri(), Image.open(path), picture]
    given += [picture / np.float32(255), channels_first, channels_first.double() / 255]
    model = iem_batch.load(file)
    found = model.predict(given)
    assert found.names[:4] == [str(path), str(path), path.as_uri(), "image 3"]
    assert len(found) == len(given)
    for mask, probability in zip(found.masks, found.probabilities, strict=True):
        np.testing.assert_array_equal(mask, found.masks[0])
        np.testing.assert_array_equal(probability, found.probabilities[0])
    one = model.predict(picture)
    np.testing.assert_array_equal(one.masks[0], found.masks[0])
    assert len(model.predict(np.stack([picture] * 3)).masks) == 3
    assert model.predict([]).masks == []


@pytest.mark.parametrize("fit", ["squash", "crop", "letterbox"])
def test_masks_have_the_size_of_their_photos(file: Path, fit: str) -> None:
    """Catches a mask that is shifted or mirrored: brought back it is what the network gave."""
    record = replace(RECORD, decode=replace(RECORD.decode, fit=fit))
    file.write_bytes(weights(record))
    pictures = [textured_disc(1, 64, 96).image, textured_disc(2, 200, 64).image]
    found = iem_batch.load(file).predict(pictures, threshold=0.5)
    assert [mask.shape for mask in found.masks] == [(64, 96), (200, 64)]
    for mask_HW, probability_SS in zip(found.masks, found.probabilities, strict=True):
        back_SS = mask_to_square(mask_HW, record.decode)
        differ = back_SS != (probability_SS > 0.5)
        assert differ.mean() < (0.5 if fit == "letterbox" else 0.08)


def test_the_threshold_is_the_models_own(file: Path) -> None:
    picture = textured_disc(1, 32, 32).image
    found = iem_batch.load(file).predict(picture)
    assert found.threshold == 0.4
    np.testing.assert_array_equal(found.masks[0], found.probabilities[0] > 0.4)
    other = iem_batch.load(file).predict(picture, threshold=0.6)
    np.testing.assert_array_equal(other.masks[0], found.probabilities[0] > 0.6)


def test_a_run_its_last_round_its_folder_and_a_file(tmp_path: Path) -> None:
    first, second = weights(), weights(replace(RECORD, threshold=0.7))
    for name, data in (("train", first), ("rounds/2/train", second)):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights.safetensors").write_bytes(data)
    (tmp_path / "rounds/3/predict").mkdir(parents=True)
    train = tmp_path / "train"
    assert iem_batch.load(tmp_path).record.threshold == 0.7
    for where in (train, str(train), train.as_uri(), train / "weights.safetensors"):
        assert iem_batch.load(where).record == RECORD


def test_what_is_no_model_is_named(tmp_path: Path, file: Path) -> None:
    for where in (tmp_path / "absent", tmp_path.parent):
        with pytest.raises(StorageError, match=f"{where} holds no trained network") as refused:
            iem_batch.load(where)
        assert "\n" not in str(refused.value)
    file.write_bytes(weights()[:-100])
    with pytest.raises(StorageError, match=f"{file} is truncated"):
        iem_batch.load(file)


def test_a_file_too_large_is_not_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = file.stat().st_size
    monkeypatch.setattr(model_file, "memory_left", lambda: 3 * size - 1)
    with pytest.raises(StorageError, match=f"{file} has .* GB; reading it takes .* are left"):
        iem_batch.load(file)
    monkeypatch.setattr(model_file, "MAX_BYTES", size - 1)
    monkeypatch.setattr("iem_batch.storage.folder.Folder.read_bytes", pytest.fail)
    with pytest.raises(StorageError, match=f"{file} has .* GB, more than the .* that are read"):
        iem_batch.load(file)


def test_memory_left_is_a_share_of_the_machines() -> None:
    assert 1 << 20 < model_file.memory_left() < 1 << 50


def test_another_network_is_imported_only_if_it_is_named(file: Path) -> None:
    path = "tests.segnet.networks:Normed"
    segnet = SegNetSettings(backbone=path, backbone_args={"width": 2})
    file.write_bytes(save_weights(networks.Normed(width=2), replace(RECORD, segnet=segnet)))
    with pytest.raises(SettingsError, match=f"network '{path}'.*imported only if"):
        iem_batch.load(file)
    model = iem_batch.load(file, backbone=path, backbone_args={"width": 2})
    assert isinstance(model.network, networks.Normed)
    assert model.predict(textured_disc(0).image).masks[0].shape == (64, 80)


def test_a_file_that_is_no_image_is_named(tmp_path: Path, file: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ImageRejectedError, match=r"notes\.txt: begins with"):
        iem_batch.load(file).predict(tmp_path / "notes.txt")
    with pytest.raises(SettingsError, match="images is of type int"):
        iem_batch.load(file).predict(3)
