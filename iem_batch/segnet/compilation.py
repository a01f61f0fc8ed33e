"""torch's compiler, and what it says where it cannot work."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from iem_batch.errors import SettingsError
from iem_batch.segnet.settings import TrainSettings


def compile_if_wanted(network: nn.Module, settings: TrainSettings) -> None:
    """Let the network be compiled when it is first called; the names of its weights stay."""
    if settings.compile:
        network.compile()


@contextmanager
def compiler_errors(settings: TrainSettings) -> Iterator[None]:
    """Give the block in which a compiler that is missing or fails is an error of the settings.

    Raises:
        SettingsError: it does.
    """
    if not settings.compile:
        yield
        return
    # Imported here, as it takes seconds and is otherwise not needed.
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        cause = next(line for line in str(error).splitlines() if line.strip())
        raise SettingsError(
            f"train.compile is true, and torch cannot compile the network here: {cause}. Set it to "
            "false, or install what is missing: a C++ compiler, and for GPUs Triton"
        ) from error
