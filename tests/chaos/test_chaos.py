"""Kills at seeded random moments: what comes out must be what an undisturbed run gives."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.chaos import Kind, Nodes, Round, checksums, start, storm, write_pictures
from iem_batch.run.folder import RunFolder

pytestmark = pytest.mark.slow

Undisturbed = tuple[Path, dict[str, str]]

ENGINE = ("--engine", "tests.steps.segment.engines:AboveMean")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Forty pictures and four broken files, and the checksums of their masks."""
    folder = tmp_path_factory.mktemp("chaos")
    write_pictures(folder / "pictures", 40)
    run = RunFolder(str(folder / "undisturbed"))
    assert start(folder / "pictures", run, None).wait(120) == 0
    return folder / "pictures", checksums(run)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        started = Nodes()
        yield started
        started.stop()


def storms(
    undisturbed: Undisturbed,
    folder: str,
    kinds: list[Kind],
    seed: int,
    nodes: Nodes | None = None,
    flags: Sequence[str] = (),
) -> None:
    """Do runs until all of the kinds were killed; each must be as if nothing had happened."""
    source, expected = undisturbed
    rng, left = random.Random(seed), list(kinds)
    for number in range(len(kinds)):
        run = RunFolder(f"{folder}/{number}")
        result: Round = storm(source, run, left, expected, rng, nodes, flags)
        assert result.statuses[-1] == 0, result
        assert not result.differing, result
        assert not result.faults, result
        left = left[result.kills.total() :]
        if not left:
            return
    raise AssertionError(f"runs end before anything can be killed: {result}")


def test_killed_commands_in_a_folder(undisturbed: Undisturbed, tmp_path: Path) -> None:
    storms(undisturbed, str(tmp_path), ["driver"] * 8, seed=1)


def test_killed_commands_on_s3(undisturbed: Undisturbed, s3_bucket: str) -> None:
    storms(undisturbed, s3_bucket, ["driver"] * 4, seed=3)


@pytest.mark.ray
def test_killed_workers_raylets_nodes_and_commands_on_ray(
    undisturbed: Undisturbed, nodes: Nodes, tmp_path: Path
) -> None:
    kinds: list[Kind] = ["worker", "worker", "raylet", "driver", "node", "worker"]
    storms(undisturbed, str(tmp_path), kinds, 4, nodes)


@pytest.mark.ray
def test_killed_workers_and_nodes_on_ray_and_s3(
    undisturbed: Undisturbed, nodes: Nodes, s3_bucket: str
) -> None:
    storms(undisturbed, s3_bucket, ["worker", "node"], 5, nodes)


@pytest.fixture(scope="module")
def undisturbed_engine(undisturbed: Undisturbed) -> Undisturbed:
    """The same pictures, and the checksums of their masks by an engine of the user's."""
    source, _ = undisturbed
    run = RunFolder(str(source.parent / "engine"))
    assert start(source, run, None, ENGINE).wait(120) == 0
    return source, checksums(run)


def test_killed_commands_with_an_engine_of_the_users(
    undisturbed_engine: Undisturbed, tmp_path: Path
) -> None:
    storms(undisturbed_engine, str(tmp_path), ["driver"] * 4, 6, None, ENGINE)


@pytest.mark.ray
def test_killed_workers_with_an_engine_of_the_users(
    undisturbed_engine: Undisturbed, nodes: Nodes, tmp_path: Path
) -> None:
    storms(undisturbed_engine, str(tmp_path), ["worker", "worker"], 7, nodes, ENGINE)
