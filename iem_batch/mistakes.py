"""One line for a mistake on the command line, with what was probably meant."""

import re

from jsonargparse import ArgumentParser

from iem_batch.arguments import COMMANDS, SHORT, long_name
from iem_batch.checks import did_you_mean, type_text
from iem_batch.config import SECTIONS
from iem_batch.help_text import usage


def no_command(name: str) -> str:
    """Say that a command does not exist."""
    guess = did_you_mean(name, COMMANDS)
    return f"there is no command {name}{guess or '; iem-batch --help lists all'}"


def in_words(message: str, command: str, parser: ArgumentParser) -> str:
    """Put what the parser says into one line.

    Args:
        message: of the parser.
        command: the command that it is of.
        parser: the parser.
    """
    flags = [flag for action in parser._actions for flag in action.option_strings]
    if found := re.match(r"unrecognized arguments: (\S+)", message):
        return _unknown(found[1].partition("=")[0], command, flags)
    if found := re.match(r"the following arguments are required: (.*)", message):
        needs = found[1].upper().replace(", ", " and ")
        example = f"iem-batch {command} {COMMANDS[command].examples[0]}"
        return f"{command} needs {needs}, as in `{example}`"
    if found := re.match(r"argument ([^:]+): ignored explicit argument '(.*)'", message):
        return f"{found[1].rpartition('/')[2]} takes no value, and was given {found[2]}"
    if found := re.match(r"argument ([^:]+): expected .* argument", message):
        flag = found[1].rpartition("/")[2]
        return f"{flag} needs a value{_must_be(flag.lstrip('-'), command)}"
    if found := re.match(r'Parser key "([^"]+)"', message):
        value = re.search(r"value: (.*)\Z", message, re.DOTALL)
        said = f" is {value[1].strip()!r}" if value else " cannot be used"
        return f"{_flag(found[1], flags)}{said}{_must_be(found[1], command)}"
    return " ".join(message.split())


def _unknown(given: str, command: str, flags: list[str]) -> str:
    if not given.startswith("-"):
        return f"{given} is one argument too many; it is `{usage(command)}`"
    if given in SHORT and f"--{long_name(given, command)}" in flags:
        guess = f"; did you mean --{long_name(given, command)}?"
    else:
        guess = did_you_mean(given, [flag for flag in flags if flag != "--help-all"], command)
    return f"{command} has no flag {given}{guess or f'; `iem-batch {command} --help` lists all'}"


def _flag(key: str, flags: list[str]) -> str:
    """Name a setting, or the short flag that is its own."""
    name = key.replace("_", "-")
    return next((flag for flag in (f"--{name}", f"-{name}") if flag in flags), key)


def _must_be(key: str, command: str) -> str:
    """Say what the value of a setting or of a short flag must be; nothing of other flags."""
    name = key.replace("_", "-")
    flag = next((flag for flag in (f"--{name}", f"-{name}") if flag in SHORT), None)
    section, _, setting = (long_name(flag, command) if flag else key).partition(".")
    if section not in SECTIONS:
        return ""
    return f"; it must be {type_text(SECTIONS[section].kinds[setting])}"
