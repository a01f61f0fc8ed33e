"""What the command line says of itself, and the ways to call it."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import iem_batch
from iem_batch.arguments import COMMANDS, build_parser
from iem_batch.help_text import brief_help
from tests.calling import Call


def test_help_needs_neither_torch_nor_ray() -> None:
    """Catches an import that makes `--help` wait for seconds."""
    block = "".join(f"sys.modules[{name!r}] = None; " for name in ("torch", "ray", "pyarrow"))
    code = f"import sys; {block}from iem_batch.cli import main; main(['segment', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--segment.init_shares" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, call: Call) -> None:
    """Catches a setting that the parser cannot show, of which it only warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, output, error = call(command, "--help-all")
    assert (status, error) == (0, "")
    assert COMMANDS[command].summary in output.replace("\n", " ")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_first_page_of_help_is_short(command: str, call: Call) -> None:
    """What the command does, three examples that can be called, and the flags of its own."""
    status, output, error = call(command, "--help")
    assert (status, error) == (0, "")
    lines = output.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert COMMANDS[command].summary in lines
    assert len(COMMANDS[command].examples) == 3
    for example in COMMANDS[command].examples:
        assert f"  iem-batch {command} {example}".rstrip() in lines
        build_parser(command, brief_help).parse_args(example.split())


def test_the_first_page_has_the_settings_of_its_step_alone(call: Call) -> None:
    _, output, _ = call("train", "--help")
    assert "--train.learning_rate 0.001" in output
    assert "--iem.iterations" not in output
    assert "--backbone" in output
    _, output, _ = call("status", "--help")
    assert "--train" not in output


def test_the_commands_on_one_page(call: Call) -> None:
    status, output, _ = call("--help")
    assert status == 0
    assert len(output.splitlines()) <= 40
    for name, command in COMMANDS.items():
        assert f"  {name:10}{command.summary}" in output.splitlines()


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
