"""Which executor a command has."""

from iem_batch.exec.executor import Executor
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.settings import ClusterSettings


def open_executor(settings: ClusterSettings, *, local: bool) -> Executor:
    """Make the executor of a command; Ray is imported only where it is used."""
    if local:
        return LocalExecutor()
    from iem_batch.exec.ray.executor import RayExecutor

    return RayExecutor(settings)
