import dataclasses

import pytest

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.iem import backends, reference, torch_backend


def test_every_backend_is_loaded_by_its_name() -> None:
    assert backends.BACKENDS["reference"].load() is reference.segment
    assert backends.BACKENDS["torch"].load() is torch_backend.segment


def test_a_name_that_can_run_is_kept() -> None:
    assert backends.resolve("torch") == "torch"
    assert backends.resolve("reference") == "reference"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="no backend 'metal'; use auto, cuda, native, torch, r"):
        backends.resolve("metal")


def test_auto_is_the_first_that_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled engine `auto` falls to torch, and asking for native says why not."""
    cardless = dataclasses.replace(backends.BACKENDS["cuda"], unavailable=lambda: "no card")
    monkeypatch.setitem(backends.BACKENDS, "cuda", cardless)
    broken = dataclasses.replace(backends.BACKENDS["native"], unavailable=lambda: "no compiler")
    monkeypatch.setitem(backends.BACKENDS, "native", broken)
    assert backends.resolve("auto") == "torch"
    with pytest.raises(BackendUnavailableError, match="native cannot run here: no compiler"):
        backends.resolve("native")
    working = dataclasses.replace(broken, unavailable=lambda: None)
    monkeypatch.setitem(backends.BACKENDS, "native", working)
    assert backends.resolve("auto") == "native"


def test_auto_takes_the_card_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    carded = dataclasses.replace(backends.BACKENDS["cuda"], unavailable=lambda: None)
    monkeypatch.setitem(backends.BACKENDS, "cuda", carded)
    assert backends.resolve("auto") == "cuda"
