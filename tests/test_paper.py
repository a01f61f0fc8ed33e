"""The paper's recipe, one flag away from whatever the defaults are."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from iem_batch.arguments import COMMANDS
from iem_batch.cli import main
from iem_batch.config import PAPER, SECTIONS
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import CONFIG
from iem_batch.run.marker import adopt

NOT_OF_THE_RECIPE = {
    "decode.max_pixels",
    "segment.backend",
    "topk.masks",
    *(f"export.{name}" for name in ("format", "size", "masks", "to", "pairs_per_file", "file_mb")),
    "export.license",
    "export.local_paths",
    "topk.exclude",
    "topk.only",
    "train.seed",
    "train.num_workers",
    "train.min_workers",
    "train.shuffle_images",
    "train.cache_mb",
    "train.precision",
    "train.images_per_pass",
    "train.checkpoint_every_epochs",
    "predict.probability",
}
"""Settings of the sections below that decide time, memory, chance, rounding or what is kept."""

RECIPE_SECTIONS = (
    *("decode", "iem", "segment", "fuse", "topk"),
    *("export", "segnet", "train", "predict", "refine"),
)


def test_every_setting_is_of_the_recipe_or_not() -> None:
    """A new setting must be put on one side: else a new default would change the paper's recipe."""
    every = {f"{name}.{field.name}" for name in RECIPE_SECTIONS for field in fields(SECTIONS[name])}
    assert PAPER.keys() | NOT_OF_THE_RECIPE == every
    assert not PAPER.keys() & NOT_OF_THE_RECIPE


def test_recipe_is_the_papers() -> None:
    """Sections 4.1 and 4.2: figures that are in the text; all values can be used together."""
    said = {
        "segment.init_shares": (44 / 128, 78 / 128, 92 / 128),
        "iem.iterations": 150,
        "iem.diversity_weight": 0.001,
        "topk.k": 8000,
        "train.epochs": 50,
        "train.batch_size": 128,
        "train.learning_rate": 1e-3,
        "predict.threshold": 0.5,
    }
    assert said.items() <= PAPER.items()
    for section in RECIPE_SECTIONS:
        values = {name: PAPER[f"{section}.{name}"] for name in _names(section)}
        SECTIONS[section](**values)


def _names(section: str) -> list[str]:
    return [name.partition(".")[2] for name in PAPER if name.startswith(f"{section}.")]


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What the commands were called with; they do nothing."""
    called: list[Job] = []

    monkeypatch.setattr("iem_batch.tools.pipeline.run", lambda job, source, **_: called.append(job))
    monkeypatch.setattr("iem_batch.tools.plan.ensure_plan", lambda *_, **__: None)
    monkeypatch.setattr("iem_batch.steps.do.do", lambda job, name: called.append(job))
    return called


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder whose stored settings are others than the paper's."""
    stored = {
        "segment": {"init_shares": [0.5]},
        "fuse": {"method": "vote"},
        "topk": {"k": 7, "rounds": 3},
        "export": {"foreground": "frame"},
        "segnet": {"width": 8},
        "train": {"epochs": 3, "batch_size": 4, "horizontal_flips": True, "seed": 5},
        "predict": {"threshold": 0.4},
    }
    run = RunFolder(str(tmp_path / "run"))
    adopt(run, "run")
    run.write_bytes(CONFIG, yaml.safe_dump(stored).encode())
    return tmp_path / "run"


def test_flag_sets_the_recipe_of_all_steps(run: Path, jobs: list[Job]) -> None:
    """Over what the run has stored; chance and places stay as they were."""
    main(["run", "photos", str(run), "--paper"])
    settings = jobs[0].settings
    for name, value in PAPER.items():
        section, _, field = name.partition(".")
        assert getattr(getattr(settings, section), field) == value, name
    assert settings.train.seed == 5


def test_flags_and_files_go_before_the_recipe(run: Path, jobs: list[Job], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("train: {batch_size: 32}\n")
    for order in (["--paper", "--train.epochs=9"], ["--train.epochs=9", "--paper"]):
        main(["train", str(run), f"--config={tmp_path / 'mine.yaml'}", *order])
        train = jobs.pop().settings.train
        assert (train.epochs, train.batch_size, train.horizontal_flips) == (9, 32, False)


@pytest.mark.parametrize(
    "command", ["segment", "fuse", "topk", "export", "train", "predict", "refine"]
)
def test_a_command_sets_its_own_part_alone(run: Path, jobs: list[Job], command: str) -> None:
    """Catches settings of a step that is done being stored as other ones."""
    arguments = ["photos", str(run)] if command == "segment" else [str(run)]
    main([command, *arguments])
    main([command, *arguments, "--paper"])
    before, after = (job.settings for job in jobs)
    changed = {name for name in SECTIONS if getattr(before, name) != getattr(after, name)}
    assert changed
    assert changed <= set(COMMANDS[command].paper)
