"""The settings of commands that are no steps."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, at_least


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Section, name="demo"):
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: Annotated[int, at_least(1)] = 600
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""


@dataclass(frozen=True, kw_only=True)
class ShipSettings(Section, name="ship"):
    """What a trained network becomes for others."""

    to: Literal["safetensors", "torch_export", "onnx"] = "safetensors"
    """`safetensors`: weights, for `iem_batch.load`; `torch_export`: a program that torch alone
    runs; `onnx`: one for ONNX Runtime and others, which needs the extra onnx."""


DEMO_DEFAULTS = {"topk.k": 300}
"""What the demo sets differently: it has 600 images, of which the best are the labels."""
