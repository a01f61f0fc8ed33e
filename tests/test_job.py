import dataclasses
from pathlib import Path

import pytest

from iem_batch.iem import backends, cuda_backend
from iem_batch.run import layout
from tests.calling import Call
from tests.test_cli import QUICK


def test_a_slow_engine_is_told(
    local: Call, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches thirty times the hours in silence, where a compiler was not there at installation."""
    for name in backends.FAST:
        without = dataclasses.replace(backends.BACKENDS[name], unavailable=lambda: "not built")
        monkeypatch.setitem(backends.BACKENDS, name, without)
    quick = [flag for flag in QUICK if "backend" not in flag]
    status, _, error = local("segment", picture_folder, tmp_path / "run", *quick)
    assert status == 0
    assert error.count("the engine is torch, many times slower than native") == 1
    status, _, error = local(
        "segment", picture_folder, tmp_path / "chosen", *quick, "--segment.backend=torch"
    )
    assert status == 0
    assert "slower" not in error


def test_the_record_says_who_does_what_the_kernel_does_not_take(
    local: Call, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run of `cuda` whose large images another engine has done."""
    card = dataclasses.replace(backends.BACKENDS["cuda"], unavailable=lambda: None)
    monkeypatch.setitem(backends.BACKENDS, "cuda", card)
    monkeypatch.setattr(cuda_backend, "MAX_PIXELS", 100)
    quick = [flag for flag in QUICK if "backend" not in flag]
    status, _, error = local("segment", picture_folder, tmp_path / "run", *quick)
    assert status == 0
    assert error.count("the engine is torch, not cuda: images of") == 1
    assert "slower" not in error
    assert "backend: torch" in (tmp_path / "run" / layout.CONFIG).read_text()
    named = ["--segment.backend=cuda"]
    status, _, error = local("segment", picture_folder, tmp_path / "named", *quick, *named)
    assert status != 0
    assert "say --segment.backend=torch" in error


@pytest.mark.parametrize("run", ["runs/1", "."])
def test_a_job_that_would_lose_its_run(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: str
) -> None:
    """Catches hours of work in a folder that Ray deletes, with status 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    status, _, error = call("topk", run)
    assert status == 2
    assert f"{run} is a relative path" in error
    assert list(tmp_path.iterdir()) == []
