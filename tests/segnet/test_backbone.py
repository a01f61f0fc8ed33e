import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from iem_batch.errors import SettingsError
from iem_batch.segnet.backbone import differences, make_network, own_chance, share_statistics
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from tests.segnet import networks

HERE = "tests.segnet.networks"


def make(path: str, **backbone_args: Any) -> nn.Module:
    return make_network(SegNetSettings(backbone=path, backbone_args=backbone_args))


def test_segnet_unless_another_is_named() -> None:
    assert isinstance(make_network(SegNetSettings(width=4)), SegNet)
    network = make(f"{HERE}:Normed", width=6)
    assert isinstance(network, networks.Normed)
    assert network.first.out_channels == 6
    assert network.training


def test_trying_a_network_changes_nothing() -> None:
    """Catches statistics of the images it is tried with, and draws that move the generator on."""
    torch.manual_seed(0)
    network = networks.Normed()
    after = torch.rand(1)
    torch.manual_seed(0)
    tried = make(f"{HERE}:Normed")
    assert torch.equal(torch.rand(1), after)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tried.state_dict()[name], tensor)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Normed", 'write it as "package.module:Class"'),
        (":Normed", 'write it as "package.module:Class"'),
        ("no_such_package:Net", "no_such_package cannot be imported on .*No module named"),
        (f"{HERE}:Missing", f"is '{HERE}:Missing', and {HERE} has no such name"),
        (f"{HERE}:make", "must name a subclass of torch.nn.Module, and that is a function"),
        ("os:system", "must name a subclass of torch.nn.Module"),
        (
            f"{HERE}:Halved",
            r"gives torch.float32 of shape \(2, 1, 32, 32\) for images of \(2, 3, 64",
        ),
        (f"{HERE}:Square", r"shape \(2, 1, 64, 64\) for images of \(2, 3, 64, 96\)"),
        (f"{HERE}:Double", "gives torch.float64 of shape"),
        (f"{HERE}:Named", "gives dict, not one tensor"),
        (f"{HERE}:Narrow", r"fails on images of \(2, 3, 64, 64\): RuntimeError: Given groups=1"),
        (f"{HERE}:Constant", "has no parameters that learn"),
    ],
)
def test_what_breaks_the_contract_is_refused(path: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make(path)


def test_arguments_it_does_not_take_are_refused() -> None:
    with pytest.raises(SettingsError, match="cannot be made with .*{'depth': 3}: TypeError"):
        make(f"{HERE}:Normed", depth=3)


def test_a_module_that_fails_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written.py").write_text("import torch\n1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingsError, match="half_written cannot be imported .*ZeroDivisionError"):
        make("half_written:Net")
    assert "half_written" not in sys.modules


def test_only_what_differs_is_named() -> None:
    """Catches a network refused because its file is older than a setting, or has lists."""
    of_now = SegNetSettings(width=8, backbone="a:B", backbone_args={"sizes": (1, 2)})
    stored = {"width": 8, "num_blocks": 3, "backbone": "a:B", "backbone_args": {"sizes": [1, 2]}}
    assert differences(stored, of_now) == ""
    assert differences({"width": 8}, SegNetSettings(width=8)) == ""
    assert differences(stored | {"newer": 1}, of_now) == (
        "segnet.newer is 1 there and None in the settings"
    )


def test_own_chance_is_the_key_s_and_leaves_no_trace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn = []
    for key in ((1, 2, 3), (1, 2, 3), (1, 2, 4)):
        with own_chance(key, torch.device("cpu")):
            drawn.append(torch.rand(4))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_statistics_become_the_mean_over_workers() -> None:
    """Two workers, this one with means 1 and variances 2, the other with 3 and 6; counts stay."""
    network = networks.Normed(width=2)
    network.norm.running_mean.fill_(1)
    network.norm.running_var.fill_(2)
    network.norm.num_batches_tracked.fill_(7)

    def add_the_other(total: torch.Tensor) -> None:
        assert total.tolist() == [1, 1, 1, 2, 2]
        total += torch.tensor([1.0, 3, 3, 6, 6])

    share_statistics(network, add_the_other)
    assert network.norm.running_mean.tolist() == [2, 2]
    assert network.norm.running_var.tolist() == [4, 4]
    assert network.norm.num_batches_tracked.item() == 7


def test_segnet_has_no_statistics_to_share() -> None:
    share_statistics(SegNet(SegNetSettings(width=4)), lambda total: pytest.fail("summed"))
