"""What tests of lists of URLs share."""

import pytest

from iem_batch.sources import download


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries a URL again at once."""
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
