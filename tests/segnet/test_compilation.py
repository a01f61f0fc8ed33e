import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import Training, begin_training, train_epoch
from tests.segnet.in_memory import batches

# torch warns of its own parts when its compiler is imported and when it traces.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

NETWORK = SegNetSettings(backbone="tests.segnet.networks:Normed")
FAILING = """
import torch
from iem_batch.errors import SettingsError
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import begin_training, train_epoch

training = begin_training(
    SegNetSettings(backbone="tests.segnet.networks:Normed"),
    TrainSettings(compile=True, precision="fp32"),
    torch.device("cpu"),
)
batch = Batch(
    image_NHW3=torch.zeros(1, 16, 16, 3, dtype=torch.uint8),
    mask_NHW=torch.zeros(1, 16, 16, dtype=torch.bool),
    error_N=torch.ones(1),
    row_N=torch.zeros(1, dtype=torch.int64),
    num_images=1,
)
try:
    train_epoch(training, [batch])
except SettingsError as error:
    print(error)
"""


def begin(segnet: SegNetSettings, **settings: bool) -> Training:
    values = TrainSettings(batch_size=7, precision="fp32", average_decay=0.5, **settings)
    return begin_training(segnet, values, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("segnet", [NETWORK, SegNetSettings(width=8, num_blocks=1)])
def test_a_compiled_network_learns_the_same(
    discs: tuple[Tensor, Tensor],
    segnet: SegNetSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    losses = []
    for compiles in (False, True):
        training = begin(segnet, compile=compiles)
        losses.append([train_epoch(training, batches(training, *discs)).loss for _ in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert any(tmp_path.iterdir()), "nothing was compiled"


def test_compilation_leaves_the_names_of_the_weights() -> None:
    """Catches names that a compiled network's wrapper changes, in weights and checkpoints."""
    compiled = begin(NETWORK, compile=True)
    names = list(begin(NETWORK).model.state_dict())
    assert list(compiled.model.state_dict()) == list(compiled.result.state_dict()) == names


def test_a_missing_compiler_is_said(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", FAILING],
        env=os.environ | {"CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert found.stdout.startswith("train.compile is true, and torch cannot compile the network")
    assert "Set it to false, or install what is missing: a C++ compiler" in found.stdout
