from collections.abc import Iterator

import pytest

from iem_batch.iem.torch_state import exact_torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny pictures are slower on several threads, much slower on a busy machine."""
    with exact_torch(1):
        yield
