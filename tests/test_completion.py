"""Completion by a real bash."""

import shutil
import subprocess

import pytest

from iem_batch.arguments import COMMANDS, build_parser
from iem_batch.cli import main
from iem_batch.completion import completion
from iem_batch.config import SECTIONS
from iem_batch.help_text import brief_help
from tests.calling import Call


def complete(shell: str, *words: str) -> list[str]:
    """What a shell offers for the last of some words."""
    typed = " ".join(f"'{word}'" for word in words)
    call = f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _iem_batch"
    script = f'{completion([shell])}\n{call}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_commands_flags_and_files() -> None:
    assert complete("bash", "iem-batch", "se") == ["segment"]
    assert complete("bash", "iem-batch", "") == list(COMMANDS)
    assert complete("bash", "iem-batch", "topk", "run", "--on") == ["--only"]
    assert complete("bash", "iem-batch", "topk", "run", "--topk.max_a") == ["--topk.max_area"]
    assert complete("bash", "iem-batch", "topk", "--exclude", "ba") == []  # bash offers files


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_those_of_the_parser(command: str) -> None:
    parser = build_parser(command, brief_help)
    known = {flag for action in parser._actions for flag in action.option_strings}
    of_sections = {f"--{section}" for section in SECTIONS}
    offered = complete("bash", "iem-batch", command, "-")
    assert set(offered) == known - of_sections - {"-h"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_it() -> None:
    script = f"autoload -U compinit; compinit -u; {completion(['zsh'])}; print $_comps[iem-batch]"
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True)
    assert "_iem_batch" in done.stdout, done.stderr


def test_from_the_command_line(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    assert capsys.readouterr().out.startswith("_iem_batch()")
    status, _, error = call("completion", "fish")
    assert (status, error) == (2, "iem-batch: completion needs a shell, bash or zsh\n")
