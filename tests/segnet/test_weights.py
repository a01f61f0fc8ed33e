import io
import json
import os
import pickle
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import save

from iem_batch.errors import SettingsError, StorageError
from iem_batch.images.settings import DecodeSettings
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import (
    ModelRecord,
    TrainingSummary,
    load_weights,
    read_record,
    save_weights,
    settings_of,
)
from tests.segnet import networks

SMALL = SegNetSettings(width=8, num_blocks=1)


def test_come_back() -> None:
    torch.manual_seed(0)
    model = SegNet(SMALL)
    loaded = load_weights(save_weights(model, ModelRecord(segnet=SMALL)), SMALL)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], weight, rtol=0, atol=0)


def test_equal_weights_give_equal_bytes() -> None:
    """Catches metadata in an order that changes from call to call."""
    model = SegNet(SMALL)
    assert len({save_weights(model, ModelRecord(segnet=SMALL)) for _ in range(8)}) == 1


def test_the_record_comes_back() -> None:
    record = ModelRecord(
        segnet=SMALL,
        decode=DecodeSettings(size_px=64, fit="letterbox"),
        threshold=0.25,
        training=TrainingSummary(pairs=7, epochs=3, loss=0.5, iou=0.75, round=2),
        procedure=("segment: IEM", "train: once"),
    )
    assert read_record(save_weights(SegNet(SMALL), record)) == record


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_part_of_a_file_is_refused(share: float) -> None:
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=SMALL))
    with pytest.raises(StorageError, match="damaged or not in the safetensors format"):
        load_weights(data[: int(share * len(data))], SMALL)


def test_a_pickle_is_refused_and_never_unpickled() -> None:
    """Catches torch.load: this pickle ends the process that unpickles it."""
    exits = pickle.dumps(Exits())
    saved = io.BytesIO()
    torch.save(SegNet(SMALL).state_dict(), saved)
    for data in (exits, saved.getvalue(), b"\x80\x02}q\x00." * 100):
        with pytest.raises(StorageError, match=r"a\.pt is a pickle, .*nothing is ever unpickled"):
            load_weights(data, SMALL, "a.pt")


class Exits:
    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


def test_each_refusal_is_one_line() -> None:
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=SMALL))
    for broken in (data[:-9], data[:4], b"", b"PK\x03\x04", save({"weight": torch.zeros(3)})):
        with pytest.raises((StorageError, SettingsError), match=r"^a\.safetensors is") as refused:
            read_record(broken, "a.safetensors")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"segnet": None},
        {"segnet": {"width": "wide"}},
        {"segnet": {"height": 3}},
        {"decode": {"fit": "stretch"}},
        {"threshold": 2},
        {"training": {"pairs": 1}},
        {"unknown": 1},
    ],
)
def test_a_damaged_record_is_refused(changed: dict[str, object]) -> None:
    stored = {"format": "segnet.2", **asdict(ModelRecord(segnet=SMALL)), **changed}
    data = save(SegNet(SMALL).state_dict(), {"iem_batch": json.dumps(stored)})
    with pytest.raises(StorageError, match="the metadata of the weights file is damaged"):
        read_record(data)


@pytest.mark.parametrize("claimed", [{"width": 4 * 10**12}, {"num_blocks": 10**12}])
def test_a_file_cannot_claim_more_memory_than_it_has(claimed: dict[str, int]) -> None:
    """Catches a network that is made as the metadata says before anything is compared."""
    huge = replace(SMALL, **claimed)
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=huge))
    with pytest.raises(SettingsError, match="does not fit the network"):
        load_weights(data, huge)


def test_half_precision_is_refused() -> None:
    data = save_weights(SegNet(SMALL).half(), ModelRecord(segnet=SMALL))
    with pytest.raises(SettingsError, match="is of torch.float16, not torch.float32"):
        load_weights(data, SMALL)


def test_a_class_is_taken_only_if_it_is_named() -> None:
    record = ModelRecord(segnet=SegNetSettings(backbone="a:B", backbone_args={"width": 2}))
    assert settings_of(record, "x", "a:B", {"width": 2}) == record.segnet
    for given in ((None, None), ("a:B", None), ("a:C", {"width": 2})):
        with pytest.raises(SettingsError, match=r"x is of the network 'a:B' with .*'width': 2"):
            settings_of(record, "x", *given)
    with pytest.raises(SettingsError, match="x is of the network SegNet"):
        settings_of(ModelRecord(segnet=SMALL), "x", "a:B")


def test_weights_of_another_program_are_refused() -> None:
    with pytest.raises(SettingsError, match="of the format None, not 'segnet.2'"):
        load_weights(save({"weight": torch.zeros(3)}), SMALL)


def test_weights_of_another_network_are_refused_with_the_difference() -> None:
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=SMALL))
    with pytest.raises(SettingsError, match="segnet.width is 8 there and 16 in the settings"):
        load_weights(data, SegNetSettings(width=16, num_blocks=1))


def test_weights_that_do_not_fit_their_settings_are_refused() -> None:
    """Catches weights of another architecture taken in part."""
    other = SegNetSettings(width=16, num_blocks=1)
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=other))
    with pytest.raises(SettingsError, match="does not fit the network SegNetSettings"):
        load_weights(data, other)


def test_a_file_decides_nothing_that_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an import path taken from storage: what is named here must not even be looked for."""
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"imported {name}"))
    named = SegNetSettings(backbone="os:system", backbone_args={"command": "false"})
    data = save_weights(SegNet(SMALL), ModelRecord(segnet=named))
    with pytest.raises(SettingsError, match="segnet.backbone is 'os:system' there and None in"):
        load_weights(data, SMALL)


def test_another_network_comes_back_with_its_statistics() -> None:
    settings = SegNetSettings(backbone="tests.segnet.networks:Normed", backbone_args={"width": 2})
    network = networks.Normed(width=2)
    network.norm.running_mean.fill_(0.25)
    loaded = load_weights(save_weights(network, ModelRecord(segnet=settings)), settings)
    assert isinstance(loaded, networks.Normed)
    assert loaded.norm.running_mean.tolist() == [0.25, 0.25]


def test_tied_weights_come_back() -> None:
    """Catches a file that cannot be written because two names share memory."""
    settings = SegNetSettings(backbone="tests.segnet.networks:Tied")
    network = networks.Tied()
    loaded = load_weights(save_weights(network, ModelRecord(segnet=settings)), settings)
    assert torch.equal(loaded.second.weight, network.first.weight)
