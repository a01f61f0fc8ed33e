"""Whatever is done, files that are not this program's own keep their bytes."""

import signal
from pathlib import Path

import pytest

from iem_batch.arguments import COMMANDS
from iem_batch.run.folder import RunFolder
from iem_batch.steps.do import drop
from iem_batch.steps.registry import STEPS
from tests.calling import Call
from tests.foreign import CALLS, Land, killed, sequence
from tests.pictures import Picture, write_folder, write_masks
from tests.steps.jobs import job_at

FIRST = ("run", "photos run --truth truth", None)
FEW, MANY = range(2), range(2, 6)


def test_every_command_is_among_them() -> None:
    assert CALLS.keys() == COMMANDS.keys()


@pytest.mark.parametrize(
    "seed", [*FEW, *(pytest.param(seed, marks=pytest.mark.slow) for seed in MANY)]
)
def test_files_of_others_keep_their_bytes_whatever_is_done(
    tmp_path: Path, pictures: list[Picture], call: Call, seed: int
) -> None:
    """All commands by chance, and kills, among trees by chance of files of others."""
    land = Land(tmp_path, seed)
    write_folder(tmp_path / "photos", pictures[:7])
    (tmp_path / "photos/broken.png").write_bytes(b"no picture")
    write_masks(tmp_path / "truth", pictures[:7])
    for path in [*(tmp_path / "photos").iterdir(), *(tmp_path / "truth").iterdir()]:
        land.keep(path)
    land.sprinkle(20)
    log: list[str] = []
    for command, behind, last_write in [FIRST, *sequence(land.rng)]:
        land.sprinkle(15)
        if land.rng.random() < 0.3:
            land.add_photos(2)
        arguments = land.arguments(command, behind)
        if last_write is None:
            status, _, error = call(*arguments)
        else:
            status, error = killed(arguments, last_write), f"killed at write {last_write}"
            assert status in (0, 1, 2, -signal.SIGKILL)
        log.append(f"{command} {behind}: {status} {error}")
        land.require_untouched(f"seed {seed}, the last of:\n" + "\n".join(log))
        assert "damaged" not in error, f"files of others stop no command:\n{log}"
    for place in ("outside", "photos", "truth"):
        there = {path for path in (tmp_path / place).rglob("*") if path.is_file()}
        assert there <= land.foreign.keys(), f"something is written among files of others:\n{log}"
    require_that_all_else_can_be_dropped(land)


def require_that_all_else_can_be_dropped(land: Land) -> None:
    """Drop every step; in the folders of the steps nothing is left but files of others."""
    for step in reversed(STEPS):
        for name in ("run", "converted", "masks"):
            drop(job_at(RunFolder(str(land.root / name))), step)
            land.require_untouched(f"drop {step} of {name}")
    for step in (*STEPS, "quarantine"):
        left = {path for path in (land.root / "run" / step).rglob("*") if path.is_file()}
        assert left <= land.foreign.keys(), f"a step that was dropped leaves {left}"
