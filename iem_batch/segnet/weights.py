"""A trained network as one safetensors file: weights, and as metadata all that using them takes.

Nothing is unpickled, and what a file says of its network decides nothing that is imported: the
class of another network than SegNet is only compared with the one that the user names.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import iem_batch
from iem_batch.checks import Section, share
from iem_batch.errors import SettingsError, StorageError
from iem_batch.images.settings import DecodeSettings
from iem_batch.segnet.backbone import differences, make_network
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings

FORMAT = "segnet.2"
_KEY = "iem_batch"

LICENCE_NOTE = (
    "The weights were computed from photographs and from nothing else. iem_batch is under the MIT "
    "licence, which says nothing about them: whoever passes them on answers for the terms of those "
    "photographs, and of the weights that another network than SegNet began with."
)

_PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
"""How files of torch.save begin: a zip, or a bare pickle."""


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """A training by counts; no name of an image is kept."""

    pairs: int
    """Images with the label that was learned."""
    epochs: int
    loss: float
    """Of the last epoch: binary cross-entropy in nats, mean over pixels."""
    iou: float
    """Of the last epoch: IoU of prediction and label, in [0, 1]."""
    held_back_iou: float | None = None
    """IoU with labels that were not learned; None if none were held back."""
    round: int = 1
    """Which round of selection and training it was, counted from 1."""


@dataclass(frozen=True, kw_only=True)
class ModelRecord(Section, name="model"):
    """All that using a trained network takes beside its weights.

    Raises:
        SettingsError: the threshold is no probability.
    """

    segnet: SegNetSettings
    """Which network it is."""
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    """How a photo becomes the square that it takes."""
    threshold: Annotated[float, share] = 0.5
    """Probability above which a pixel is foreground."""
    training: TrainingSummary | None = None
    procedure: tuple[str, ...] = ()
    """How the labels were made without labels, step by step, in words."""
    licence: str = LICENCE_NOTE
    version: str = iem_batch.__version__
    """Of the program that trained it."""


def save_weights(model: nn.Module, record: ModelRecord) -> bytes:
    """Write weights and record; equal ones give equal bytes."""
    # Cloned, because safetensors refuses names that share memory, as those of tied weights do.
    tensors = {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    # All under one key, because safetensors writes several in any order.
    return save(tensors, {_KEY: json.dumps({"format": FORMAT, **asdict(record)})})


def read_record(data: bytes, name: str = "the weights file") -> ModelRecord:
    """Read what a file says of its network.

    Args:
        data: the file.
        name: what it is called in messages.

    Raises:
        StorageError: it is a pickle, truncated, damaged, or no safetensors file.
        SettingsError: another program, or another version of this one, wrote it.
    """
    return _read(data, name)[0]


def load_weights(
    data: bytes, settings: SegNetSettings, name: str = "the weights file"
) -> nn.Module:
    """Make the network of the settings, with the weights that `save_weights` wrote, on the CPU.

    Args:
        data: the file.
        settings: of the network that the weights are for; only these decide what is imported.
        name: what the file is called in messages.

    Raises:
        StorageError: as `read_record`.
        SettingsError: it holds the weights of another network, or the network cannot be made.
    """
    record, tensors = _read(data, name)
    changed = differences(asdict(record.segnet), settings)
    if changed:
        raise SettingsError(
            f"{name} is of another network: {changed}; give the settings they were trained "
            "with, or train again"
        )
    _require_float32(tensors, name)
    if settings.backbone is not None:
        model = make_network(settings)
        _fill(model, tensors, settings, name, assign=False)
        return model
    # Without memory of its own: the file may claim a network of any size.
    try:
        if settings.num_blocks > len(tensors):
            raise ValueError(f"{settings.num_blocks} blocks, {len(tensors)} tensors")
        with torch.device("meta"):
            model = SegNet(settings)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise _misfit(settings, name, error) from error
    _fill(model, tensors, settings, name, assign=True)
    return model


def settings_of(
    record: ModelRecord,
    name: str,
    backbone: str | None = None,
    backbone_args: Mapping[str, Any] | None = None,
) -> SegNetSettings:
    """Give the settings of a file's network, if the user names the class where there is one.

    Args:
        record: of the file.
        name: what the file is called in messages.
        backbone: as `SegNetSettings.backbone`, from the user.
        backbone_args: likewise; None stands for none.

    Raises:
        SettingsError: the network is of another class than the user names, or made otherwise.
    """
    found = record.segnet
    given = (backbone, dict(backbone_args or {}))
    if given != (found.backbone, found.backbone_args):
        network = "SegNet" if found.backbone is None else repr(found.backbone)
        raise SettingsError(
            f"{name} is of the network {network} with backbone_args {found.backbone_args}; it is "
            f"imported only if backbone and backbone_args name it, and they are {given[0]!r} and "
            f"{given[1]}"
        )
    return found


def _read(data: bytes, name: str) -> tuple[ModelRecord, dict[str, Tensor]]:
    try:
        tensors = load(data)
    except (SafetensorError, KeyError) as error:
        raise _no_safetensors(data, name, error) from error
    try:
        stored = dict(json.loads(_metadata(data).get(_KEY, "{}")))
    except (ValueError, TypeError, RecursionError) as error:
        raise StorageError(f"the metadata of {name} is damaged") from error
    found = stored.pop("format", None)
    if found != FORMAT:
        raise SettingsError(
            f"{name} is of the format {found!r}, not {FORMAT!r}: of another program, or of another "
            "version of this one; train again with this version"
        )
    return _record(stored, name), tensors


def _record(stored: dict[str, Any], name: str) -> ModelRecord:
    try:
        training = stored.pop("training")
        return ModelRecord(
            segnet=SegNetSettings(**stored.pop("segnet")),
            decode=DecodeSettings(**stored.pop("decode")),
            training=None if training is None else TrainingSummary(**training),
            procedure=tuple(stored.pop("procedure")),
            **stored,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"the metadata of {name} is damaged: {_line(error)}") from error


def _no_safetensors(data: bytes, name: str, error: Exception) -> StorageError:
    if data.startswith(_PICKLES):
        return StorageError(
            f"{name} is a pickle, as torch.save writes, not in the safetensors format; nothing is "
            "ever unpickled, since that can run any program"
        )
    return StorageError(
        f"{name} is truncated, damaged or not in the safetensors format: {_line(error)}"
    )


def _require_float32(tensors: Mapping[str, Tensor], name: str) -> None:
    others = {t.dtype for t in tensors.values() if t.is_floating_point()} - {torch.float32}
    if others:
        raise SettingsError(f"{name} is of {others.pop()}, not torch.float32")


def _fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    settings: SegNetSettings,
    name: str,
    *,
    assign: bool,
) -> None:
    try:
        model.load_state_dict(tensors, assign=assign)
    except RuntimeError as error:
        raise _misfit(settings, name, error) from error


def _misfit(settings: SegNetSettings, name: str, error: Exception) -> SettingsError:
    lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
    return SettingsError(f"{name} does not fit the network {settings}: {lines}")


def _metadata(data: bytes) -> dict[str, str]:
    """Read the metadata of a file that is known to be whole: a length, then JSON."""
    (length,) = struct.unpack("<Q", data[:8])
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return metadata


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
