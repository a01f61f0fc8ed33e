import dataclasses
from pathlib import Path

import pytest

from iem_batch.iem import backends
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
    status, _, error = local("segment", picture_folder, tmp_path / "chosen", *QUICK)
    assert status == 0
    assert "slower" not in error


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
