"""Networks of Hugging Face transformers with random weights; the real ones are alike but larger."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from iem_batch.errors import SettingsError
from iem_batch.segnet.backbone import make_network
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import begin_training, train_epoch
from iem_batch.segnet.weights import ModelRecord, load_weights, save_weights
from iem_batch.storage.folder import Folder
from tests.segnet.in_memory import batches

transformers = pytest.importorskip("transformers")
PATH = "iem_batch.pretrained:Features"


def settings_of(folder: object, **others: object) -> SegNetSettings:
    return SegNetSettings(backbone=PATH, backbone_args={"folder": str(folder), **others})


@pytest.fixture(params=["dinov2", "resnet"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    if request.param == "dinov2":
        config = transformers.Dinov2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=56
        )
        network = transformers.Dinov2Model(config)
    else:
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"
        )
        network = transformers.ResNetModel(config)
    network.save_pretrained(tmp_path / "network")
    return tmp_path / "network"


def test_the_features_are_those_of_the_weights(folder: Path):
    network = make_network(settings_of(folder))
    from safetensors.torch import load_file

    loaded = list(network.backbone.state_dict().values())
    for name, stored in load_file(folder / "model.safetensors").items():
        assert any(torch.equal(stored, own) for own in loaded if own.shape == stored.shape), name


@pytest.mark.parametrize("frozen", [True, False])
def test_what_learns(folder: Path, frozen: bool, discs: tuple[Tensor, Tensor]):
    """Catches statistics of a frozen network that follow the batches, and one that learns."""
    settings = TrainSettings(batch_size=4, learning_rate=0.02, precision="fp32", average_decay=0)
    training = begin_training(settings_of(folder, frozen=frozen), settings, torch.device("cpu"))
    before = {k: v.clone() for k, v in training.model.state_dict().items()}
    first = train_epoch(training, batches(training, *discs))
    for _ in range(5):
        last = train_epoch(training, batches(training, *discs))
    assert last.loss < first.loss
    after = training.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("backbone.") for name in changed) is not frozen
    assert {"head.weight", "lateral.0.weight"} <= changed


def test_its_file_gives_the_same_masks(folder: Path, discs: tuple[Tensor, Tensor]):
    settings = settings_of(folder, scale=1.75)
    network = make_network(settings).eval()
    nn.init.normal_(network.head.weight)
    data = save_weights(network, ModelRecord(segnet=settings))
    again = load_weights(data, settings).eval()
    image = discs[0].permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        assert torch.equal(again(image), network(image))


def test_a_folder_on_a_store_and_its_normalisation(folder: Path):
    store = Folder("memory://bucket/pretrained")
    for path in folder.iterdir():
        store.write_bytes(path.name, path.read_bytes())
    found = {"image_mean": [0.5, 0.25, 0.0], "image_std": [0.5, 1.0, 2.0]}
    store.write_bytes("preprocessor_config.json", json.dumps(found).encode())
    network = make_network(settings_of(store.url))
    assert network.mean.flatten().tolist() == found["image_mean"]
    assert network.std.flatten().tolist() == found["image_std"]


def test_a_network_of_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The hub's own cache, as a download leaves it; what is not in it cannot be had here."""
    commit, cached = "0" * 40, tmp_path / "hub" / "models--owner--name"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(folder, cached / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    of_hub, of_folder = (make_network(settings_of(where)) for where in ("hf://owner/name", folder))
    for own, other in zip(
        of_hub.backbone.state_dict().values(), of_folder.backbone.state_dict().values(), strict=True
    ):
        assert torch.equal(own, other)
    with pytest.raises(SettingsError, match="cannot be made with"):
        make_network(settings_of("hf://owner/another"))


def test_what_is_no_such_folder(folder: Path, tmp_path: Path):
    with pytest.raises(SettingsError, match=r"has no config.json; it must be a folder that"):
        make_network(settings_of(tmp_path / "nothing"))
    (folder / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(SettingsError, match="cannot be made with"):
        make_network(settings_of(folder))
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(SettingsError, match=r"has no model.safetensors"):
        make_network(settings_of(folder))
