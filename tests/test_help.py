"""What the command line says of itself, and the ways to call it."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import iem_batch
from iem_batch.cli import COMMANDS
from tests.calling import Call


def test_help_needs_neither_torch_nor_ray() -> None:
    """Catches an import that makes `--help` wait for seconds."""
    block = "".join(f"sys.modules[{name!r}] = None; " for name in ("torch", "ray", "pyarrow"))
    code = f"import sys; {block}from iem_batch.cli import main; main(['segment', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--iem.iterations" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, call: Call) -> None:
    """Catches a setting that the parser cannot show, of which it only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, output, error = call(command, "--help")
    assert (status, error) == (0, "")
    assert COMMANDS[command].summary in output.replace("\n", " ")


@pytest.mark.parametrize("program", [["-m", "iem_batch"], ["jobs/iem.py"]])
def test_other_ways_to_call_it(program: list[str]) -> None:
    """As a module, and as what is submitted to a cluster."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, *program, "--version"],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert iem_batch.__version__ in done.stdout
