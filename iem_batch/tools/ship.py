"""The command `ship`: the trained network of a run as a folder that others can use.

B = photos, S = pixels of a side of the network's square.
"""

import io
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from iem_batch.checks import needs_extra
from iem_batch.errors import IntegrityError
from iem_batch.job import Job
from iem_batch.model_file import NAME, read_model_file
from iem_batch.run.deletion import delete_own
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import require_apart, require_empty
from iem_batch.segnet.prediction import predict_probability, scale_pixels
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import (
    ModelRecord,
    load_weights,
    read_record,
    save_weights,
    settings_of,
)
from iem_batch.steps.evaluate.evaluation import read_evaluation
from iem_batch.tools.model_card import model_card

LARGEST_DIFFERENCE = 1e-3
"""Between the probabilities of the network and of the shipped file."""

FILES = {"safetensors": NAME, "torch_export": "model.pt2", "onnx": "model.onnx"}
"""Format -> what its file is called."""

NUM_PICTURES = 5

Predict = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""From uint8 RGB (B, S, S, 3) to probabilities (B, S, S)."""


class _Shipped(nn.Module):
    """A network that takes photos as they are stored: uint8 (B, S, S, 3) to (B, S, S) in [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BSS3: Tensor) -> Tensor:
        logit_BSS: Tensor = self.network(scale_pixels(image_BSS3))[:, 0]
        return logit_BSS.sigmoid()


def ship(job: Job, out: str) -> None:
    """Write the network of a run into a new folder, with a card, and try what was written.

    Args:
        job: at a run that was trained; of several rounds the last one counts.
        out: the folder, new or empty.

    Raises:
        StorageError: the run has no network, or its file cannot be used.
        SettingsError: it is another one than the run's settings say.
        RunMismatchError: there is something in the folder.
        BackendUnavailableError: a package is missing.
        IntegrityError: the shipped file gives other probabilities; it is deleted.
    """
    to, folder = job.settings.ship.to, RunFolder(out)
    require_apart(job.run, folder.url)
    require_empty(folder)
    file = read_model_file(job.run.url)
    record = replace(read_record(file.data, file.url), threshold=job.settings.predict.threshold)
    named = job.settings.segnet
    settings = settings_of(record, file.url, named.backbone, named.backbone_args)
    network = load_weights(file.data, settings, file.url).eval()
    name = FILES[to]
    folder.write_bytes(name, _encode(to, network, record))
    written = folder.read_bytes(name)
    difference = _difference(network, _open(to, written, settings), record.decode.size_px)
    if not difference <= LARGEST_DIFFERENCE:
        delete_own(folder, name)
        raise IntegrityError(
            f"{folder.url_of(name)} gives probabilities that differ by {difference:.2g} from the "
            f"network's, more than {LARGEST_DIFFERENCE}; it was deleted"
        )
    if to != "safetensors":  # whose metadata has it
        folder.write_bytes("model.json", (json.dumps(asdict(record), indent=1) + "\n").encode())
    folder.write_bytes("README.md", model_card(record, to, read_evaluation(job.run)))
    print(
        f"ship: {NUM_PICTURES} pictures by the file and by the network differ by at most "
        f"{difference:.2g}"
    )
    print(f"ship: -> {folder.url_of(name)} ({len(written) / 1e6:,.1f} MB), README.md")


def _encode(to: str, network: nn.Module, record: ModelRecord) -> bytes:
    if to == "safetensors":
        return save_weights(network, record)
    size = record.decode.size_px
    # Two, because what is traced with one photo is no longer free to take more.
    example_BSS3 = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    any_number = ({0: torch.export.Dim("batch", min=1)},)
    shipped = _Shipped(network).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its own older parts
        if to == "torch_export":
            program = torch.export.export(shipped, (example_BSS3,), dynamic_shapes=any_number)
            buffer = io.BytesIO()
            torch.export.save(program, buffer)
            return buffer.getvalue()
        with needs_extra("onnx", "ship.to onnx"):
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        made = torch.onnx.export(
            shipped,
            (example_BSS3,),
            dynamo=True,
            dynamic_shapes=any_number,
            input_names=["image"],
            output_names=["probability"],
            verbose=False,
        )
    assert made is not None
    encoded: bytes = made.model_proto.SerializeToString()
    return encoded


def _open(to: str, data: bytes, settings: SegNetSettings) -> Predict:
    """Open a shipped file as others will."""
    if to == "safetensors":
        network = load_weights(data, settings)
        return lambda image_BSS3: predict_probability(network, image_BSS3, precision="fp32")
    if to == "torch_export":
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            Path(folder, "model.pt2").write_bytes(data)
            program = torch.export.load(Path(folder, "model.pt2")).module()

        def run_program(image_BSS3: NDArray[np.uint8]) -> NDArray[np.float32]:
            with torch.no_grad():
                return np.asarray(program(torch.from_numpy(image_BSS3)))

        return run_program
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda image_BSS3: np.asarray(session.run(None, {"image": image_BSS3})[0])


def _difference(network: nn.Module, shipped: Predict, size_px: int) -> float:
    """Give the largest difference of a probability, with one picture at a time and with several."""
    image_BSS3 = _pictures(size_px)
    wanted = predict_probability(network, image_BSS3, precision="fp32")
    found = [shipped(image_BSS3[:1]), shipped(image_BSS3[1:])]
    return float(np.abs(np.concatenate(found) - wanted).max())


def _pictures(size_px: int) -> NDArray[np.uint8]:
    """Draw pictures of smooth blobs of colour, always the same."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (NUM_PICTURES, 6, 6, 3), dtype=np.uint8)
    size = (size_px, size_px)
    return np.stack([np.asarray(Image.fromarray(one).resize(size)) for one in coarse])
