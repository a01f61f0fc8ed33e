"""Trained weights as safetensors, with the shape of the network in the file's metadata."""

import json
import struct
from dataclasses import asdict

from safetensors import SafetensorError
from safetensors.torch import load, save

from iem_batch.errors import SettingsError, StorageError
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings

FORMAT = "segnet.1"
_KEY = "iem_batch"


def save_weights(model: SegNet) -> bytes:
    """Write the weights and the settings; equal weights give equal bytes."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    record = {"format": FORMAT, "settings": asdict(model.settings)}
    # All under one key, because safetensors writes several in any order.
    return save(tensors, {_KEY: json.dumps(record)})


def load_weights(data: bytes) -> SegNet:
    """Make the network that `save_weights` wrote, on the CPU.

    Raises:
        StorageError: `data` is no safetensors file, or only a part of one.
        SettingsError: it holds another network than this version's SegNet.
    """
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise StorageError(
            f"the weights are damaged or not in the safetensors format: {error}"
        ) from error
    record = json.loads(_metadata(data).get(_KEY, "{}"))
    if record.get("format") != FORMAT:
        raise SettingsError(
            f"the weights are of the format {record.get('format')!r}, not {FORMAT!r}; "
            "train again with this version"
        )
    model = SegNet(SegNetSettings(**record["settings"]))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise SettingsError(f"the weights do not fit {model.settings}: {first_line}") from error
    return model


def _metadata(data: bytes) -> dict[str, str]:
    """Read the metadata of a file that is known to be whole: a length, then JSON."""
    (length,) = struct.unpack("<Q", data[:8])
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return metadata
