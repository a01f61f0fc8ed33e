"""`ray job submit` of jobs/ to real nodes, as the README says: the same files as without Ray."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from iem_batch.cli import main
from tests.exec.ray.nodes import Nodes, running_nodes
from tests.pictures import Picture, write_folder
from tests.test_cli import QUICK, data_files

pytestmark = [pytest.mark.ray, pytest.mark.slow]

STEPS = ("segment", "fuse", "topk", "export", "train", "predict")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head and a node; whoever submits needs the token."""
    with running_nodes(token=secrets.token_hex(32)) as nodes:
        yield nodes


@pytest.mark.timeout(600)  # six jobs, each of which starts a driver
def test_jobs_end_in_the_files_of_the_local_run(
    nodes: Nodes, tmp_path: Path, pictures: list[Picture]
) -> None:
    """Catches a job that works elsewhere, with another engine, or with other bits."""
    source, run, local = tmp_path / "pictures", tmp_path / "run", tmp_path / "local"
    write_folder(source, pictures)
    for step in STEPS:
        arguments = [source, run, *QUICK] if step == "segment" else [run]
        job = nodes.submit(step, *arguments)
        assert job.returncode == 0, job.stdout
        main([step, *(str(local if a == run else a) for a in arguments), "--local"])
    ours, expected = data_files(run), data_files(local)
    assert {name.partition("/")[0] for name in ours} >= {"segment", "fuse", "export", "predict"}
    assert ours == expected
    weights = "train/weights.safetensors"
    assert (run / weights).read_bytes() == (local / weights).read_bytes()


def test_a_failing_job_fails(nodes: Nodes, tmp_path: Path) -> None:
    """Catches a scheduler that is told all is well."""
    job = nodes.submit("topk", tmp_path / "nowhere")
    assert job.returncode != 0
    assert "nowhere is no run: there is nothing" in job.stdout


def test_a_relative_run_is_refused(nodes: Nodes) -> None:
    """Catches a run in the package of the job, which is lost with it."""
    job = nodes.submit("topk", "runs/1")
    assert job.returncode != 0
    assert "runs/1 is a relative path" in job.stdout


def test_without_the_token_nothing_is_done(nodes: Nodes, tmp_path: Path) -> None:
    """Catches a cluster that anyone can use."""
    job = nodes.with_token(secrets.token_hex(32)).submit("topk", tmp_path / "nowhere")
    assert job.returncode != 0
    assert "token" in job.stdout
    assert "submitted" not in job.stdout


def test_without_authentication(tmp_path: Path, pictures: list[Picture]) -> None:
    """The head alone will do: planning needs no worker."""
    write_folder(tmp_path / "pictures", pictures)
    with running_nodes(worker=False) as nodes:
        job = nodes.submit("plan", tmp_path / "pictures", tmp_path / "run")
    assert job.returncode == 0, job.stdout
    assert (tmp_path / "run/_run/plan.json").exists()
