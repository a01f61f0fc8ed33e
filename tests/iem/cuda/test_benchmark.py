"""benchmarks/gpu.py as far as it goes without a card: oracle, counts, refusal, and all emulated."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu_float64 import segment_by_autograd
from benchmarks.gpu_work import count_work
from iem_batch.iem import cuda_backend, reference
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda import emulation
from tests.iem.noise import noise

ROOT = Path(__file__).parents[3]


def test_the_batched_autograd_is_the_reference() -> None:
    """On noise some masks become empty or full, where the formulas divide by zero."""
    image = np.concatenate([noise(0, 6, 16, 20), np.full((1, 16, 20, 3), 90, np.uint8)])
    first = centred_squares(16, 20, [8])[0]
    first[:] = False
    first[3:5, 4:9] = True
    mask_BHW, error_B = segment_by_autograd(image, first, 25, torch.float64, device="cpu")
    expected = reference.segment(
        image,
        np.broadcast_to(first, (7, 1, 16, 20)),
        IEMSettings(iterations=25, diversity_weight=0.001),
    )
    np.testing.assert_array_equal(mask_BHW, expected.mask_BSHW[:, 0])
    np.testing.assert_allclose(error_B, expected.error_BS[:, 0], rtol=0, atol=1e-12)


def test_work_is_counted_within_what_there_is() -> None:
    work = count_work(noise(1, 2, 32, 32), device="cpu")
    assert 0 < work.flips < work.undecided < work.pixels == 1024
    assert work.flips < work.affected <= work.pixels
    assert work.present <= work.pixels
    assert work.strip_columns <= work.pixels / 8


@pytest.mark.skipif(cuda_backend.unavailable() is None, reason="there is a card: it would measure")
def test_without_a_card_it_refuses() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "nowhere"],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("benchmarks.gpu needs an NVIDIA GPU: ")


def test_it_runs_to_its_end_on_the_emulator(tmp_path: Path) -> None:
    emulation.compiler()
    photos, written = tmp_path / "photos.npz", tmp_path / "record.json"
    np.savez(photos, images=noise(2, 3, 128, 128))
    command = [sys.executable, "-m", "benchmarks.gpu", photos, "--emulated", "--json", written]
    subprocess.run(command, cwd=ROOT, env=os.environ, check=True)
    record = json.loads(written.read_text())
    assert record["same bits"] == {"backwards": True, "native, every bit": True}
    assert record["correctness"]["final masks compared with float64"] == 5
    assert record["card"]["name"] == "emulator"
