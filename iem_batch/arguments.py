"""What may stand behind the name of a command, and its parser."""

import re
from argparse import SUPPRESS, Action
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

from iem_batch.config import SECTIONS
from iem_batch.steps.registry import STEPS, Step
from iem_batch.tools.registry import TOOLS, Tool

COMMANDS: Mapping[str, Step | Tool] = {**STEPS, **TOOLS}

SHORT = {
    "--limit": "plan.limit",
    "--sample": "plan.sample",
    "--include": "plan.include",
    "--exclude": "COMMAND.exclude",
    "--keep": "plan.keep",
    "--shard-size": "plan.shard_size",
    "--engine": "segment.engine",
    "--masks": "segment.masks",
    "-k": "topk.k",
    "--fraction": "topk.fraction",
    "--per-group": "topk.per_group",
    "--only": "topk.only",
    "--rounds": "topk.rounds",
    "--backbone": "segnet.backbone",
    "--truth": "evaluate.truth",
    "--truth-foreground": "evaluate.truth_foreground",
    "--truth-ignore": "evaluate.truth_ignore",
    "--ignore": "evaluate.ignore",
    "--to": "COMMAND.to",
    "--format": "COMMAND.format",
    "--license": "export.license",
    "model": "apply.model",
}
"""Short flag or argument -> the setting it sets; COMMAND is the section of the command, or `plan`
where that has no such setting."""

ARGUMENTS: dict[str, dict[str, Any]] = {
    "source": {"help": "images: a folder, tar, zip, Parquet, LMDB or list; a local path or a URL"},
    "model": {"help": "the network: a run, its train/, a weights file; a local path or a URL"},
    "run": {"help": "run folder: a local path or any fsspec URL, e.g. s3://bucket/run"},
    "run?": {"nargs": "?", "default": ".", "help": "run folder; the current one if not given"},
    "image": {"help": "an image of the run, by its image_id, or any image file"},
    "--png": {"default": None, "help": "file for the picture; IMAGE.iem.png if not given"},
    "out": {"help": "folder for what is written: a local path or any fsspec URL"},
    "--address": {"default": None, "help": "Ray cluster to look at, e.g. auto or head:6379"},
    "--run": {"default": None, "help": "folder to write to, read from and delete from"},
    "--source": {"default": None, "help": "images to read one of"},
    "--estimate": {
        "action": "store_true",
        "help": "time a sample of the images and print the hours and the cost of segment",
    },
    "--against": {
        "nargs": "+",
        "default": [],
        "metavar": "RUN2",
        "help": "another run, to show beside this one",
    },
    "--extend": {
        "action": "store_true",
        "help": "add the images that the source has besides those planned, as new shards",
    },
    "--moved-to": {
        "default": None,
        "metavar": "URL",
        "help": "the photos of the run lie here now: compare them with the plan, and go on there",
    },
    "--as-planned": {
        "action": "store_true",
        "help": "work on what was planned, without looking whether the source has changed",
    },
    "--shards": {
        "default": None,
        "metavar": "A:B",
        "help": "do only the shards A to B - 1, so that several commands can share a run",
    },
    "--json": {"action": "store_true", "help": "print JSON instead of a table"},
    "--reread": {
        "action": "store_true",
        "help": "read the source too, and compare the ids of all images",
    },
    "--damaged": {
        "action": "store_true",
        "help": "instead read all again, and make anew what verify calls damaged or missing",
    },
    "--quarantined": {
        "action": "store_true",
        "help": "also shards with images that were missing, unreadable or killed their worker",
    },
}

Print = Callable[[str, ArgumentParser], str]
"""Takes the name of a command and its parser; gives a text about them."""


def build_parser(own: str, brief_help: Print) -> ArgumentParser:
    """Make the parser of what stands behind the name of a command.

    Args:
        own: the command.
        brief_help: what --help prints.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    command = COMMANDS[own]
    parser = ArgumentParser(
        prog=f"iem-batch {own}",
        description=command.summary,
        allow_abbrev=False,
        exit_on_error=False,
        add_help=False,
    )

    class Help(Action):
        """Prints the flags that most people want."""

        def __call__(self, *_: Any) -> None:
            print(brief_help(own, parser))
            parser.exit()

    keeps_nothing: dict[str, Any] = {"nargs": 0, "dest": SUPPRESS, "default": SUPPRESS}
    parser.add_argument("-h", "--help", action=Help, help="this page", **keeps_nothing)
    parser.add_argument("--help-all", action="help", help="all flags and settings, in full")
    for name in command.arguments:
        if name in SHORT and name not in ARGUMENTS:
            setting = long_name(name, own)
            parser.add_argument(
                name, type=_type_of(setting), default=None, help=f"short for --{setting}"
            )
        else:
            parser.add_argument(name.rstrip("?"), **ARGUMENTS[name])
    if {"run", "run?", "out"} & set(command.arguments):
        _add_settings(parser, command)
    return parser


def _add_settings(parser: ArgumentParser, command: Step | Tool) -> None:
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="YAML file with any of the settings",
    )
    parser.add_argument("--local", action="store_true", help="work in this process, without Ray")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="drop what this step and the later ones have made with other settings",
    )
    parser.add_argument(
        "--accept-versions",
        action="store_true",
        help="resume a step that other versions of the code or its libraries have begun",
    )
    if command.paper:
        parser.add_argument(
            "--paper",
            action="store_true",
            help="the paper's exact recipe, whatever the defaults and the run's stored settings "
            f"say, in {', '.join(command.paper)}; --config and flags go before it",
        )
    for section, kind in SECTIONS.items():
        parser.add_class_arguments(kind, section)
    parser.set_defaults(dict(command.defaults))


def _type_of(setting: str) -> Any:
    """Give the type of a setting, as its class declares it."""
    section, _, name = setting.partition(".")
    return get_type_hints(SECTIONS[section], include_extras=False)[name] | None


def long_name(flag: str, command: str) -> str:
    """Name the setting that a short flag of a command stands for."""
    section, _, name = SHORT[flag].partition(".")
    if section != "COMMAND":
        return SHORT[flag]
    has_own = command in SECTIONS and name in SECTIONS[command].kinds
    return f"{command if has_own else 'plan'}.{name}"


def join_lists(arguments: Sequence[str]) -> list[str]:
    """Write the values of settings that are lists as one: `--x 1 2` and `--x 1,2` as `--x=[1,2]`.

    Args:
        arguments: those behind the name of the command.
    """
    joined: list[str] = []
    left = list(arguments)
    while left:
        flag, is_joined, value = left.pop(0).partition("=")
        kind = _element_type(flag)
        if kind is None:
            joined.append(flag + is_joined + value)
            continue
        values = [value] if is_joined else left[:1]
        left = left if is_joined else left[1:]
        while left and not is_joined and _is_list_of(kind, left[0]):
            values.append(left.pop(0))
        elements = [part for part in re.split(r"[\[\],\s]+", " ".join(values)) if part]
        joined.append(f"{flag}=[{', '.join(elements)}]" if values else flag)
    return joined


def _element_type(flag: str) -> Any:
    """Give the type of the elements of a setting that is a list; None for all others."""
    section, _, name = flag.removeprefix("--").partition(".")
    kind = get_type_hints(SECTIONS[section]).get(name) if section in SECTIONS else None
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def _is_list_of(kind: Any, text: str) -> bool:
    parts = [part for part in re.split(r"[\[\],]", text) if part]
    if kind is float:
        return all(re.fullmatch(r"[\d.]+(e-?\d+)?", part) for part in parts)
    return all(part in get_args(kind) for part in parts)


def set_short(parsed: Namespace, command: str) -> Namespace:
    """Set what short flags stand for, before settings that belong together are checked."""
    for flag in SHORT:
        value = parsed.get(flag.lstrip("-").replace("-", "_"))
        if value is not None:
            parsed[long_name(flag, command)] = value
    return parsed
