"""Trained weights as safetensors, with the settings of the network in the file's metadata."""

import json
import struct
from dataclasses import asdict

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from iem_batch.errors import SettingsError, StorageError
from iem_batch.segnet.backbone import differences, make_network
from iem_batch.segnet.settings import SegNetSettings

FORMAT = "segnet.1"
_KEY = "iem_batch"


def save_weights(model: nn.Module, settings: SegNetSettings) -> bytes:
    """Write the weights and the settings that made the network; equal weights give equal bytes."""
    # Cloned, because safetensors refuses names that share memory, as those of tied weights do.
    tensors = {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    record = {"format": FORMAT, "settings": asdict(settings)}
    # All under one key, because safetensors writes several in any order.
    return save(tensors, {_KEY: json.dumps(record)})


def load_weights(data: bytes, settings: SegNetSettings) -> nn.Module:
    """Make the network of the settings, with the weights that `save_weights` wrote, on the CPU.

    What the file says of its network is only compared: it decides nothing that is imported.

    Args:
        data: the file.
        settings: of the network that the weights are for.

    Raises:
        StorageError: `data` is no safetensors file, or only a part of one.
        SettingsError: it holds the weights of another network, or the network cannot be made.
    """
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise StorageError(
            f"the weights are damaged or not in the safetensors format: {error}"
        ) from error
    try:
        record = dict(json.loads(_metadata(data).get(_KEY, "{}")))
    except (ValueError, TypeError) as error:
        raise StorageError("the metadata of the weights is damaged") from error
    if record.get("format") != FORMAT:
        raise SettingsError(
            f"the weights are of the format {record.get('format')!r}, not {FORMAT!r}; "
            "train again with this version"
        )
    changed = differences(record.get("settings", {}), settings)
    if changed:
        raise SettingsError(
            f"the weights are of another network: {changed}; give the settings they were trained "
            "with, or train again"
        )
    model = make_network(settings)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise SettingsError(f"the weights do not fit the network {settings}: {lines}") from error
    return model


def _metadata(data: bytes) -> dict[str, str]:
    """Read the metadata of a file that is known to be whole: a length, then JSON."""
    (length,) = struct.unpack("<Q", data[:8])
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return metadata
