import json

import pytest
import torch
from safetensors.torch import save

from iem_batch.errors import SettingsError, StorageError
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import load_weights, save_weights

SMALL = SegNetSettings(width=8, num_blocks=1)


def test_come_back_with_their_settings() -> None:
    torch.manual_seed(0)
    model = SegNet(SMALL)
    loaded = load_weights(save_weights(model))
    assert loaded.settings == SMALL
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


def test_equal_weights_give_equal_bytes() -> None:
    """Catches metadata in an order that changes from call to call."""
    model = SegNet(SMALL)
    assert len({save_weights(model) for _ in range(8)}) == 1


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_part_of_a_file_is_refused(share: float) -> None:
    data = save_weights(SegNet(SMALL))
    with pytest.raises(StorageError, match="damaged or not in the safetensors format"):
        load_weights(data[: int(share * len(data))])


def test_another_format_is_refused() -> None:
    with pytest.raises(StorageError, match="damaged or not in the safetensors format"):
        load_weights(b"\x80\x02}q\x00." * 100)


def test_weights_of_another_program_are_refused() -> None:
    with pytest.raises(SettingsError, match="of the format None, not 'segnet.1'"):
        load_weights(save({"weight": torch.zeros(3)}))


def test_weights_that_do_not_fit_their_settings_are_refused() -> None:
    """Catches weights of another architecture taken in part."""
    other = {"format": "segnet.1", "settings": {"width": 16, "num_blocks": 1}}
    data = save(SegNet(SMALL).state_dict(), {"iem_batch": json.dumps(other)})
    with pytest.raises(SettingsError, match="the weights do not fit SegNetSettings"):
        load_weights(data)
