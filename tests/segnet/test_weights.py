import json

import pytest
import torch
from safetensors.torch import save

from iem_batch.errors import SettingsError, StorageError
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import load_weights, save_weights
from tests.segnet import networks

SMALL = SegNetSettings(width=8, num_blocks=1)


def test_come_back() -> None:
    torch.manual_seed(0)
    model = SegNet(SMALL)
    loaded = load_weights(save_weights(model, SMALL), SMALL)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


def test_equal_weights_give_equal_bytes() -> None:
    """Catches metadata in an order that changes from call to call."""
    model = SegNet(SMALL)
    assert len({save_weights(model, SMALL) for _ in range(8)}) == 1


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_part_of_a_file_is_refused(share: float) -> None:
    data = save_weights(SegNet(SMALL), SMALL)
    with pytest.raises(StorageError, match="damaged or not in the safetensors format"):
        load_weights(data[: int(share * len(data))], SMALL)


def test_another_format_is_refused() -> None:
    with pytest.raises(StorageError, match="damaged or not in the safetensors format"):
        load_weights(b"\x80\x02}q\x00." * 100, SMALL)


def test_weights_of_another_program_are_refused() -> None:
    with pytest.raises(SettingsError, match="of the format None, not 'segnet.1'"):
        load_weights(save({"weight": torch.zeros(3)}), SMALL)


def test_weights_of_another_network_are_refused_with_the_difference() -> None:
    data = save_weights(SegNet(SMALL), SMALL)
    with pytest.raises(SettingsError, match="segnet.width is 8 there and 16 in the settings"):
        load_weights(data, SegNetSettings(width=16, num_blocks=1))


def test_weights_that_do_not_fit_their_settings_are_refused() -> None:
    """Catches weights of another architecture taken in part."""
    record = {"format": "segnet.1", "settings": {"width": 16, "num_blocks": 1}}
    data = save(SegNet(SMALL).state_dict(), {"iem_batch": json.dumps(record)})
    with pytest.raises(SettingsError, match="the weights do not fit the network SegNetSettings"):
        load_weights(data, SegNetSettings(width=16, num_blocks=1))


def test_a_file_decides_nothing_that_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an import path taken from storage: what is named here must not even be looked for."""
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    named = SegNetSettings(backbone="os:system", backbone_args={"command": "false"})
    data = save_weights(SegNet(SMALL), named)
    with pytest.raises(SettingsError, match="segnet.backbone is 'os:system' there and None in"):
        load_weights(data, SMALL)


def test_another_network_comes_back_with_its_statistics() -> None:
    settings = SegNetSettings(backbone="tests.segnet.networks:Normed", backbone_args={"width": 2})
    network = networks.Normed(width=2)
    network.norm.running_mean.fill_(0.25)
    loaded = load_weights(save_weights(network, settings), settings)
    assert isinstance(loaded, networks.Normed)
    assert loaded.norm.running_mean.tolist() == [0.25, 0.25]


def test_tied_weights_come_back() -> None:
    """Catches a file that cannot be written because two names share memory."""
    settings = SegNetSettings(backbone="tests.segnet.networks:Tied")
    network = networks.Tied()
    loaded = load_weights(save_weights(network, settings), settings)
    assert torch.equal(loaded.second.weight, network.first.weight)
