"""What makes a shell complete the commands and flags of iem-batch."""

from collections.abc import Sequence

from iem_batch.arguments import COMMANDS
from iem_batch.config import SECTIONS
from iem_batch.errors import SettingsError

OF_ALL = ("--help", "--help-all")
OF_RUNS = ("--config", "--local", "--overwrite", "--accept-versions")
"""Flags of every command that works on a run or a folder of its own."""

_BASH = """\
_iem_batch() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words settings="{settings}"
  COMPREPLY=()
  if [[ $COMP_CWORD != 1 && $word != -* ]]; then return; fi
  case $COMP_CWORD:${{COMP_WORDS[1]}} in
    1:*) words="{commands}" ;;
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _iem_batch iem-batch
"""

SCRIPTS = {"bash": _BASH, "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH}
"""Shell -> what it must read; words that are no flag are completed as names of files."""


def completion(arguments: Sequence[str]) -> str:
    """Write the script for a shell, as in `eval "$(iem-batch completion bash)"`.

    Args:
        arguments: those behind the name of the command, the name of a shell.

    Raises:
        SettingsError: it is none of `SCRIPTS`.
    """
    if len(arguments) != 1 or arguments[0] not in SCRIPTS:
        raise SettingsError(f"completion needs a shell, {' or '.join(SCRIPTS)}")
    settings = [f"--{section}.{name}" for section, kind in SECTIONS.items() for name in kind.kinds]
    cases = [f'    *:{name}) words="{" ".join(_flags(name))}" ;;' for name in COMMANDS]
    return SCRIPTS[arguments[0]].format(
        commands=" ".join(COMMANDS), settings=" ".join(settings), cases="\n".join(cases)
    )


def _flags(command: str) -> list[str]:
    """List the flags of a command; those of the settings are in a variable of the script."""
    record = COMMANDS[command]
    own = [name for name in record.arguments if name.startswith("-")]
    if not {"run", "run?", "out"} & set(record.arguments):
        return [*own, *OF_ALL]
    return [*own, *OF_ALL, *OF_RUNS, *["--paper"] * bool(record.paper), "$settings"]
