"""What `--help` prints: a page of at most 40 lines, where `--help-all` has hundreds."""

import shutil
import textwrap
from argparse import SUPPRESS, Action
from collections.abc import Mapping

from jsonargparse import ArgumentParser

import iem_batch
from iem_batch.arguments import ARGUMENTS, COMMANDS, SHORT, long_name
from iem_batch.config import SECTIONS
from iem_batch.steps.registry import STEPS

NAME_COLUMN = 34
"""Where the words about a flag begin."""

LONGEST_VALUE = 10
"""Characters of a default that are shown."""

MAX_LINES = 40
"""Of a page of help, so that it fits a screen; --help-all has the rest."""


def overview() -> str:
    """Say which commands there are."""
    lines = [f"iem-batch {iem_batch.__version__}: {iem_batch.__doc__}", ""]
    lines += [f"  iem-batch run {example}" for example in COMMANDS["run"].examples]
    steps = {name: command for name, command in COMMANDS.items() if name in STEPS}
    tools = {name: command for name, command in COMMANDS.items() if name not in STEPS}
    for title, commands in {"steps, in their order": steps, "tools": tools}.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:10}{command.summary}" for name, command in commands.items()]
    lines += ["", "iem-batch COMMAND --help says more; iem-batch --version"]
    return "\n".join(
        [*lines, 'eval "$(iem-batch completion bash)" lets the shell complete; or zsh']
    )


def usage(command: str) -> str:
    """Write how a command is called, without its flags."""
    names = [name.upper() for name in COMMANDS[command].arguments if not name.startswith("-")]
    return " ".join(
        ["iem-batch", command, *(f"[{n.rstrip('?')}]" if n.endswith("?") else n for n in names)]
    )


def brief_help(command: str, parser: ArgumentParser) -> str:
    """Say what a command does, with examples, its own flags and the settings of its step."""
    record = COMMANDS[command]
    sections = (command, *(record.paper if command in STEPS else ()))
    lines = [f"usage: {usage(command)} [flags]", "", record.summary, ""]
    lines += [f"  iem-batch {command} {example}".rstrip() for example in record.examples]
    by_flag = {_name(action): action for action in parser._actions if action.help != SUPPRESS}
    settings = {flag: action for flag, action in by_flag.items() if "." in flag}
    hidden = {"--help", "--help-all", *(f"--{section}" for section in SECTIONS)}
    lines.append("")
    for flag, action in by_flag.items():
        if flag not in settings and flag not in hidden:
            lines.append(_line(_with_value(flag, action), _words(command, flag, action, settings)))
    shown = {
        flag: action
        for flag, action in settings.items()
        if flag[2:].partition(".")[0] in sections
        and flag[2:] not in _shortened(command)
        and not isinstance(action.default, dict)  # what a class is called with
    }
    if shown:
        lines.append("settings of the step:" if command in STEPS else "settings:")
        own_first = sorted(shown, key=lambda flag: not flag.startswith(f"--{command}."))
        lines += [
            _line(f"{flag} {_value(shown[flag])}", str(shown[flag].help))
            for flag in own_first[: MAX_LINES - 1 - len(lines)]
        ]
    if len(settings) > len(shown):
        lines.append(f"iem-batch {command} --help-all has all {len(settings)} settings, in full")
    return "\n".join(lines)


def _name(action: Action) -> str:
    return action.option_strings[-1] if action.option_strings else action.dest.upper()


def _with_value(flag: str, action: Action) -> str:
    if action.nargs == 0 or not action.option_strings:
        return flag
    return f"{flag} {action.metavar or action.dest.upper()}"


def _shortened(command: str) -> set[str]:
    """List the settings of which a command has a short form."""
    return {long_name(flag, command) for flag in COMMANDS[command].arguments if flag in SHORT}


def _words(command: str, flag: str, action: Action, settings: Mapping[str, Action]) -> str:
    """Give the help of a flag; of a short one that of its setting."""
    name = flag if flag in SHORT else flag.lower()
    if name in ARGUMENTS or name not in SHORT:
        return str(action.help)
    return str(settings[f"--{long_name(name, command)}"].help)


def _value(action: Action) -> str:
    value = action.default
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(list(value) if isinstance(value, tuple) else value).replace(" ", "")
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _line(name: str, words: str) -> str:
    """Put a flag and what it is into one line."""
    width = max(shutil.get_terminal_size().columns, 80)
    first = words.replace("``", "").replace("`", "").partition("\n\n")[0]
    start = f"  {name}".ljust(NAME_COLUMN - 2) + "  "
    return start + textwrap.shorten(first, max(width - len(start), 20), placeholder=" ...")
