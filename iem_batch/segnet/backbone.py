"""The network the settings name: SegNet, or another torch module by its import path.

Which code is imported is decided by the settings alone. Files from storage hold weights and say
which settings they belong to; they are compared with the settings, never followed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from iem_batch.checks import call_named, first_line, import_named
from iem_batch.errors import SettingsError
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings

TRIED_SIZES = ((64, 64), (64, 96))
"""Height and width in pixels of the images that another network is tried with."""


def make_network(settings: SegNetSettings) -> nn.Module:
    """Make the network with first weights from torch's generator.

    Another network than SegNet is tried once on images of two sizes.

    Args:
        settings: which network.

    Raises:
        SettingsError: the network named cannot be imported here or breaks the contract.
    """
    if settings.backbone is None:
        return SegNet(settings)
    kind = _import_class(settings.backbone)
    network: nn.Module = call_named(
        "segnet.backbone", settings.backbone, kind, settings.backbone_args
    )
    _check_contract(network, settings.backbone)
    return network


def differences(found: Mapping[str, Any], settings: SegNetSettings) -> str:
    """Say how stored settings of a network differ from those of now; empty if they do not.

    Args:
        found: as stored; what is missing has the default.
        settings: those of now.
    """
    # As JSON gives them back: with lists for tuples.
    wanted = json.loads(json.dumps(asdict(settings)))
    stored = asdict(SegNetSettings()) | dict(found)
    names = [name for name in stored if name not in wanted or stored[name] != wanted[name]]
    return ", ".join(
        f"segnet.{name} is {stored[name]!r} there and {wanted.get(name)!r} in the settings"
        for name in names
    )


@contextmanager
def own_chance(key: tuple[int, ...], device: torch.device) -> Iterator[None]:
    """Start torch's generators from `key` in the block; after it they are as before.

    Another network may draw, as dropout does: so it draws the same when a training is resumed.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        yield


def share_statistics(network: nn.Module, sum_over_workers: Callable[[Tensor], object]) -> None:
    """Replace the network's buffers of floats, such as running means, by their mean over workers.

    Each worker has seen other images; whole numbers, such as counts of batches, stay its own.
    """
    shared = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if not shared:
        return
    # All in one sum, with a 1 that tells how many workers there are.
    ones = torch.ones(1, device=shared[0].device)
    total = torch.cat([ones, *(buffer.detach().float().flatten() for buffer in shared)])
    sum_over_workers(total)
    means = torch.split(total[1:] / total[0], [buffer.numel() for buffer in shared])
    for buffer, mean in zip(shared, means, strict=True):
        buffer.copy_(mean.view_as(buffer))


def _import_class(path: str) -> type[nn.Module]:
    kind = import_named("segnet.backbone", path, "trains or predicts")
    # Only a class of modules is called: settings may come from somebody else's run folder.
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise SettingsError(
            f"segnet.backbone is {path!r}; it must name a subclass of torch.nn.Module, and that is "
            f"a {type(kind).__name__}"
        )
    return kind


def _check_contract(network: nn.Module, path: str) -> None:
    """Try the network, as it is used for prediction, on two images of each size."""
    was_training = network.training
    network.eval()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for height, width in TRIED_SIZES:
            image_B3HW = torch.zeros(2, 3, height, width)
            try:
                logit = network(image_B3HW)
            except Exception as error:
                raise SettingsError(
                    f"segnet.backbone {path} fails on images of {tuple(image_B3HW.shape)}: "
                    f"{first_line(error)}"
                ) from error
            _check_output(logit, (2, 1, height, width), path)
    network.train(was_training)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not learning:
        raise SettingsError(f"segnet.backbone {path} has no parameters that learn")
    others = {parameter.dtype for parameter in learning} - {torch.float32}
    if others:
        raise SettingsError(f"segnet.backbone {path} has parameters of {others.pop()}, not float32")


def _check_output(logit: object, shape: tuple[int, ...], path: str) -> None:
    if not isinstance(logit, Tensor):
        raise SettingsError(f"segnet.backbone {path} gives {type(logit).__name__}, not one tensor")
    if tuple(logit.shape) != shape or logit.dtype != torch.float32:
        raise SettingsError(
            f"segnet.backbone {path} gives {logit.dtype} of shape {tuple(logit.shape)} for images "
            f"of {(shape[0], 3, *shape[2:])}; it must give torch.float32 of shape {shape}, logits "
            "of foreground"
        )
