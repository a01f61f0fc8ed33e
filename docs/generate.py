"""Write the reference pages of the documentation from the code: settings, commands and tables.

    python docs/generate.py

`tests/test_docs.py` compares the pages with what the code says now.
"""

import ast
from argparse import Action
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from jsonargparse import ArgumentParser

from iem_batch.arguments import COMMANDS, SHORT, build_parser, long_name
from iem_batch.checks import type_text
from iem_batch.config import PAPER, SECTIONS
from iem_batch.help_text import brief_help, usage
from iem_batch.run import schema
from iem_batch.steps.registry import STEPS

FOLDER = Path(__file__).parent

NOTE = "This page is written by `docs/generate.py` from the code; do not edit it by hand."


def settings_page() -> str:
    """Write all settings, section by section."""
    helps = {flag[2:]: action for flag, action in _flags(build_parser("run", brief_help)).items()}
    short = {long_name(flag, ""): flag for flag in SHORT if flag.startswith("-")}
    lines = ["# Settings", "", NOTE, ""]
    lines += [
        "A setting is given as a flag, `--train.epochs 20`, or in a YAML file for `--config`, "
        "as `train: {epochs: 20}`. A flag beats the file, the file beats what the run has stored. "
        "The paper's value stands behind the default where `--paper` sets one. Lists are written "
        "`0.3 0.5`, `0.3,0.5` or `[0.3, 0.5]`; nothing is `null`."
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", "", _sentence(kind.__doc__ or ""), ""]
        lines += ["| setting | default | must be | meaning |", "|---|---|---|---|"]
        for name, type_ in kind.kinds.items():
            setting = f"{section}.{name}"
            shown = f"`{setting}`" + (f" (`{short[setting]}`)" if setting in short else "")
            default = f"`{_value(helps[setting].default)}`"
            if setting in PAPER and PAPER[setting] != helps[setting].default:
                default += f", paper: `{_value(PAPER[setting])}`"
            meaning = str(helps[setting].help)
            lines.append(_row(shown, default, type_text(type_), meaning))
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Write what each command does, with its flags."""
    lines = ["# Commands", "", NOTE, ""]
    lines += [
        "`iem-batch COMMAND --help` is a page about one command, `--help-all` has all its "
        "settings in full. `python -m iem_batch` is `iem-batch`. Every command that works on a "
        "run takes any of the [settings](settings.md); its own sections are linked here."
    ]
    for name, record in COMMANDS.items():
        lines += ["", f"## {name}", "", record.summary, "", "```sh", usage(name), "```", ""]
        lines += ["Examples:", "", "```sh"]
        lines += [f"iem-batch {name} {example}".rstrip() for example in record.examples]
        lines += ["```", ""]
        lines += ["| argument | meaning |", "|---|---|"]
        parser = build_parser(name, brief_help)
        lines += list(_arguments(name, parser))
        sections = (name, *(record.paper if name in STEPS else ()))
        links = [f"[{s}](settings.md#{s})" for s in dict.fromkeys(sections) if s in SECTIONS]
        if links:
            lines += ["", f"Settings: {', '.join(links)}."]
    return "\n".join(lines) + "\n"


def tables_page() -> str:
    """Write the columns of every table, with what stands beside it in the code."""
    lines = ["# Tables", "", NOTE, ""]
    lines += [
        f"Schema version {schema.VERSION}, which stands in the metadata of every file. A *picture* "
        "is an encoded image as Hugging Face `datasets` stores it, `struct<bytes, path>` with a "
        "null path. What the folders are is on the page [Outputs](outputs.md)."
    ]
    source = ast.parse(Path(schema.__file__).read_text())
    for node, below in zip(source.body, [*source.body[1:], None], strict=True):
        name = node.targets[0].id if isinstance(node, ast.Assign) else ""
        table = getattr(schema, name, None)
        if isinstance(table, pa.Schema):
            lines += ["", f"## {name}", "", _sentence(ast.literal_eval(below.value)), ""]
            lines += ["| column | type |", "|---|---|"]
            for field in table:
                kind = "picture" if field.type == schema.IMAGE else str(field.type)
                lines.append(_row(f"`{field.name}`", kind))
    return "\n".join(lines) + "\n"


def _arguments(command: str, parser: ArgumentParser) -> Iterator[str]:
    """Write the arguments of a command that are no settings."""
    for flag, action in _flags(parser).items():
        if "." in flag or flag[2:] in SECTIONS:
            continue
        name = flag if flag.startswith("-") else flag.upper()
        meaning = str(action.help)
        if (key := flag if flag.startswith("-") else flag.lower()) in SHORT:
            setting = long_name(key, command)
            meaning = f"short for [{setting}](settings.md#{setting.partition('.')[0]})"
        yield _row(f"`{name}`", meaning)


def _flags(parser: ArgumentParser) -> dict[str, Action]:
    named = [
        (action.option_strings[-1] if action.option_strings else action.dest, action)
        for action in parser._actions
    ]
    return {name: action for name, action in named if action.help != "==SUPPRESS=="}


def _sentence(docstring: str) -> str:
    """Give a docstring without what it raises, in one line."""
    return " ".join(docstring.partition("Raises:")[0].split())


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, tuple):
        return f"[{', '.join(f'{element:.6g}' for element in value)}]" if value else "[]"
    return str(value)


def _row(*cells: str) -> str:
    """Write a row of a table; a bar in a cell would end it."""
    words = (" ".join(cell.replace("``", "`").split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(words)} |"


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "tables.md": tables_page}
"""Page -> what writes it."""


def main() -> None:
    """Write the pages."""
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
