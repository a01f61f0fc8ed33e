"""`iem-batch ship`: a trained network leaves its run in each format, and is what it was."""

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import iem_batch
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import ModelRecord, TrainingSummary, save_weights
from iem_batch.steps.evaluate.evaluation import Evaluation, MethodScores
from iem_batch.tools import ship as ship_module
from iem_batch.tools.model_card import model_card
from tests.calling import Call
from tests.pictures import textured_disc

ROOT = Path(__file__).parents[2]
RECORD = ModelRecord(
    segnet=SegNetSettings(width=4, num_blocks=1),
    decode=DecodeSettings(size_px=32),
    training=TrainingSummary(pairs=1234, epochs=4, loss=0.25, iou=0.5, held_back_iou=0.375),
    procedure=("segment: Inpainting Error Maximization", "train: once"),
)

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
FORMATS = [
    "safetensors",
    "torch_export",
    pytest.param(
        "onnx",
        marks=pytest.mark.skipif(
            bool(MISSING), reason=f"needs {', '.join(MISSING)}: pip install -e '.[onnx]'"
        ),
    ),
]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of which nothing is left but the trained network."""
    run = RunFolder(str(tmp_path / "run"))
    adopt(run, "run")
    torch.manual_seed(0)
    run.write_bytes("train/weights.safetensors", save_weights(SegNet(RECORD.segnet), RECORD))
    return run


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_shipped_is_run_by_its_card(
    run: RunFolder, tmp_path: Path, local: Call, to: str
) -> None:
    """In a process that has neither Ray nor pyarrow, nor iem_batch where none is needed."""
    out = tmp_path / "out"
    status, printed, error = local("ship", run.url, out, "--to", to)
    assert status == 0, error
    difference = re.search(r"differ by at most (\S+)\n", printed)
    assert difference is not None
    assert float(difference[1]) < 1e-4
    files = {file.name for file in out.iterdir()}
    record = {"model.json"} if to != "safetensors" else set()
    assert files == {"README.md", ship_module.FILES[to], *record}
    card = (out / "README.md").read_text()
    assert "With labels that it did not learn the IoU was 37.5 %." in card
    example = re.search(r"^## Use\n\n((?:    .*\n)+)", card, re.M)
    assert example is not None
    lines = [line.strip().replace("THIS_FOLDER", str(out)) for line in example[1].splitlines()]
    pictures = np.stack([textured_disc(seed, 32, 32).image for seed in range(3)])
    as_given = {"torch_export": "torch.from_numpy(photos)"}.get(to, "photos")
    found = {
        "safetensors": "result.probabilities",
        "torch_export": "probability.detach().numpy()",
        "onnx": "probability",
    }
    code = [
        "import sys; sys.modules['ray'] = sys.modules['pyarrow'] = None",
        "sys.modules['iem_batch'] = None" * (to != "safetensors"),
        "import numpy, torch",
        f"photos = numpy.load({str(tmp_path / 'photos.npy')!r}); photos = {as_given}",
        *(line.replace('["cat.jpg"]', "photos") for line in lines),
        f"numpy.save({str(tmp_path / 'found.npy')!r}, {found[to]})",
    ]
    np.save(tmp_path / "photos.npy", pictures)
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    wanted = iem_batch.load(run.url).predict(pictures).probabilities
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), wanted, rtol=0, atol=2e-2)


def test_the_card_says_what_it_was_trained_on(run: RunFolder, tmp_path: Path, local: Call) -> None:
    local("ship", run.url, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "iem_batch"
    assert "1,234 photos with labels that were made without labels, 4 epochs" in text
    assert "- segment: Inpainting Error Maximization\n- train: once\n" in text
    assert "None: there was no ground truth" in text
    assert RECORD.licence in text
    assert str(tmp_path) not in card


def test_the_card_of_a_network_that_learned_given_masks() -> None:
    steps = "segment: masks given in files on each photo, instead of IEM"
    card = model_card(replace(RECORD, procedure=(steps,)), "safetensors", None).decode()
    assert "1,234 photos with labels made of given masks, 4 epochs" in card
    for wrong in ("without labels", "unsupervised", "Inpainting Error", "never said by anybody"):
        assert wrong not in card
        assert wrong in model_card(RECORD, "safetensors", None).decode()


def test_the_card_gives_figures_with_protocol_and_intervals() -> None:
    names = ("accuracy", "iou", "miou", "dice")
    means, ends = dict.fromkeys(names, 0.5), dict.fromkeys(names, [0.4, 0.625])
    scores = MethodScores(
        method="predict",
        num_images=120,
        as_labelled=means,
        best_polarity=means,
        as_labelled_interval=ends,
    )
    evaluation = Evaluation(
        truth_url="/secret/truth",
        ignore_url=None,
        num_images=120,
        num_without_truth=0,
        seen_pixels=1.0,
        seen_foreground=1.0,
        methods=[scores],
    )
    text = model_card(RECORD, "safetensors", evaluation).decode()
    assert "120 images with truth at the size of the photos" in text
    assert "95 % intervals of 2,000 bootstrap samples over images, seed 0" in text
    cell = "50.0 (40.0-62.5)"
    assert f"| SegNet | 120 | {' | '.join([cell] * 4)} |" in text
    assert "secret" not in text


def test_a_folder_with_anything_in_it_is_refused(
    run: RunFolder, tmp_path: Path, local: Call
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    for out, message in ((tmp_path / "out", "is not empty"), (run.url + "/out", "inside one")):
        status, _, error = local("ship", run.url, out)
        assert status == 1
        assert message in error
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_file_that_differs_is_deleted(
    run: RunFolder, tmp_path: Path, local: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a comparison with itself."""

    def other(to: str, network: object, record: ModelRecord) -> bytes:
        torch.manual_seed(1)
        return save_weights(SegNet(RECORD.segnet), record)

    monkeypatch.setattr(ship_module, "_encode", other)
    status, _, error = local("ship", run.url, tmp_path / "out")
    assert status == 1
    assert "gives probabilities that differ by" in error
    assert list((tmp_path / "out").iterdir()) == []


def test_the_threshold_is_that_of_the_run(run: RunFolder, tmp_path: Path, local: Call) -> None:
    status, _, error = local("ship", run.url, tmp_path / "out", "--predict.threshold", 0.75)
    assert status == 0, error
    assert iem_batch.load(tmp_path / "out").record == replace(RECORD, threshold=0.75)
    local("ship", run.url, tmp_path / "program", "--to", "torch_export")
    stored = json.loads((tmp_path / "program/model.json").read_text())
    assert stored["decode"]["size_px"] == 32
    assert "above 0.5" in (tmp_path / "program/README.md").read_text()


def test_a_run_without_a_network(tmp_path: Path, local: Call) -> None:
    adopt(RunFolder(str(tmp_path / "run")), "run")
    status, _, error = local("ship", tmp_path / "run", tmp_path / "out")
    assert status == 1
    assert error.startswith(f"iem-batch: {tmp_path}/run holds no trained network: it is neither")
    assert error.count("\n") == 1
