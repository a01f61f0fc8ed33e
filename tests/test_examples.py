"""The engines in examples/, each on photos of discs through the command line where it can be."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from PIL import Image
from torch import nn
from transformers import Dinov2Config, Dinov2Model

from iem_batch.errors import SettingsError
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.run.folder import RunFolder
from iem_batch.steps.segment.engine import make_engine
from iem_batch.steps.segment.settings import SegmentSettings
from tests.calling import Call
from tests.steps.jobs import SIZE_PX
from tests.steps.segment.test_engine import rows_of
from tests.test_cli import QUICK

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(autouse=True)
def examples_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


def disc(size_px: int = SIZE_PX) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A red disc on grass, with a little noise, and its mask."""
    row, column = np.indices((size_px, size_px))
    mask = np.hypot(row - size_px / 2, column - size_px / 2) < size_px / 4
    image = np.where(mask[..., None], (220, 60, 60), (60, 140, 60))
    noise = np.random.default_rng(0).integers(-9, 10, image.shape)
    return (image + noise).astype(np.uint8), mask


def segment(local: Call, place: Path, engine: str, arguments: str) -> dict[str, Any]:
    """Do the step on a photo of a disc; gives its row."""
    (place / "photos").mkdir()
    Image.fromarray(disc()[0]).save(place / "photos/a.png")
    flags = [*QUICK, "--engine", engine, "--segment.engine_args", arguments]
    status, _, error = local("segment", place / "photos", place / "run", *flags)
    assert status == 0, error
    return rows_of(RunFolder(str(place / "run")), "segment")["a.png"]


def write_network(file: Path, batch: int | str) -> None:
    """Write a network whose output is ten times the red of its input less five, in a channel."""
    shape = [batch, 3, SIZE_PX, SIZE_PX]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1, 3, 1, 1], [10.0, 0.0, 0.0])
    bias = helper.make_tensor("b", TensorProto.FLOAT, [1], [-5.0])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["soft"])],
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("soft", TensorProto.FLOAT, [batch, 1, *shape[2:]])],
        [weight, bias],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[opset]), file)


@pytest.mark.parametrize("batch", [1, "any"])
def test_a_network_in_onnx(batch: int | str, tmp_path: Path, local: Call) -> None:
    write_network(tmp_path / "red.onnx", batch)
    arguments = f'{{"weights": "{tmp_path / "red.onnx"}", "mean": 0.5, "std": 2.0}}'
    row = segment(local, tmp_path, "onnx_masks:OnnxMasks", arguments)
    image, mask = disc()
    np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), mask)
    red = image[..., 0].astype(np.float64)
    stretched = 255 * (red - red.min()) / (red.max() - red.min())
    vote = decode_pixels(row["vote"]["bytes"])
    np.testing.assert_allclose(vote, stretched, atol=0.51)


def test_a_cut_of_exported_features(tmp_path: Path, local: Call) -> None:
    """Patches of 4 x 4 pixels by random weights: red and green are apart all the same."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.Flatten(2))

    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.network(image).transpose(1, 2)

    batch = {0: torch.export.Dim("batch", min=1, max=16)}
    example = (torch.zeros(2, 3, SIZE_PX, SIZE_PX),)
    program = torch.export.export(Features(), example, dynamic_shapes=(batch,))
    torch.export.save(program, tmp_path / "features.pt2")
    arguments = f'{{"backbone": "{tmp_path / "features.pt2"}", "size_px": {SIZE_PX}}}'
    row = segment(local, tmp_path, "spectral_cut:SpectralCut", arguments)
    found, (_, mask) = decode_mask(row["mask"]["bytes"]), disc()
    assert (found & mask).sum() / (found | mask).sum() > 0.7


def test_a_cut_of_the_features_of_a_transformer(tmp_path: Path) -> None:
    """Random weights: the plumbing, and that the token of the whole image is left out."""
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(0)
    model = Dinov2Model(Dinov2Config(image_size=28, patch_size=4, **size))
    model.save_pretrained(tmp_path / "dino")
    arguments = {"backbone": str(tmp_path / "dino"), "size_px": 28}
    settings = SegmentSettings(engine="spectral_cut:SpectralCut", engine_args=arguments)
    image = np.stack([disc(28)[0], disc(28)[0][:, ::-1]])
    found = make_engine(settings)(image)
    assert found.shape == (2, 28, 28)
    assert found.dtype == np.bool_
    patches = found[:, ::4, ::4]
    np.testing.assert_array_equal(patches.repeat(4, axis=1).repeat(4, axis=2), found)
    assert 0 < patches.mean() < 1


def test_of_what_sam_finds_the_largest_inner_mask_is_taken() -> None:
    from sam2_masks import largest_inner

    image, mask = disc()
    ground, eye = ~mask, np.zeros_like(mask)
    eye[15:18, 15:18] = True
    found = [{"segmentation": each} for each in (eye, ground, mask)]
    np.testing.assert_array_equal(largest_inner(found, image), mask)
    assert not largest_inner([{"segmentation": ground}], image).any()


def test_sam_is_asked_for_where_it_is_missing() -> None:
    settings = SegmentSettings(
        engine="sam2_masks:Sam2Masks", engine_args={"config": "a", "checkpoint": "b"}
    )
    with pytest.raises(SettingsError, match="cannot be made .* No module named 'sam2'"):
        make_engine(settings)
