import pytest

from iem_batch.run.folder import RunFolder
from tests.steps.export.exports import make_run


@pytest.fixture(scope="session")
def awkward(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of `NAMES`, all of which are selected."""
    return make_run(tmp_path_factory.mktemp("awkward"))
