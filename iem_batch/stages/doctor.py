"""What this machine can run, and why not."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass

import torch

import iem_batch
from iem_batch.data import fast_jpeg
from iem_batch.iem.backends import BACKENDS, resolve


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's."""

    name: str
    ok: bool
    detail: str


def examine() -> list[Finding]:
    """Look at the versions, the processors and the engine backends."""
    versions = ", ".join(
        f"{package} {importlib.metadata.version(package)}"
        for package in ("torch", "ray", "pyarrow", "pillow", "numpy")
    )
    findings = [
        Finding(
            name="versions",
            ok=True,
            detail=f"iem_batch {iem_batch.__version__}, Python {platform.python_version()}, "
            + versions,
        ),
        Finding(name="processors", ok=True, detail=f"{os.cpu_count()} CPUs, {_gpus()}"),
    ]
    reason = fast_jpeg.unavailable()
    findings.append(
        Finding(name="fast JPEG decoding", ok=reason is None, detail=reason or "available")
    )
    for name, backend in BACKENDS.items():
        reason = backend.unavailable()
        detail = reason or ("the one that auto takes" if resolve("auto") == name else "available")
        findings.append(Finding(name=f"engine {name}", ok=reason is None, detail=detail))
    return findings


def _gpus() -> str:
    if not torch.cuda.is_available():
        return "no CUDA GPU"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return ", ".join(names)
