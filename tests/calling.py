"""The command line, called in this process."""

from collections.abc import Callable

import pytest

from iem_batch.cli import main

Call = Callable[..., tuple[int, str, str]]
"""Takes the arguments; gives status, standard output and standard error."""


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the command line."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def local(call: Call) -> Call:
    """Calls the command line with --local."""
    return lambda *arguments: call(*arguments, "--local")
