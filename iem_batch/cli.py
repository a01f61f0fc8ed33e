"""The command line `iem-batch`: flags over a YAML file over what the run folder has stored."""

import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, get_type_hints

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

import iem_batch
from iem_batch.config import SECTIONS, Settings, paper_settings, settings_from_yaml
from iem_batch.errors import IEMBatchError, SettingsError
from iem_batch.iem.backends import BACKENDS
from iem_batch.interrupts import Interrupt, raising_interrupts
from iem_batch.steps.registry import STEPS, Step
from iem_batch.tools.registry import TOOLS, Tool

if TYPE_CHECKING:
    from iem_batch.job import Job


SHORT = {
    "--limit": "plan.limit",
    "--sample": "plan.sample",
    "--shard-size": "plan.shard_size",
    "-k": "topk.k",
    "--fraction": "topk.fraction",
    "--per-group": "topk.per_group",
    "--rounds": "topk.rounds",
    "--backbone": "segnet.backbone",
    "--truth": "evaluate.truth",
    "--truth-foreground": "evaluate.truth_foreground",
    "--truth-ignore": "evaluate.truth_ignore",
    "--ignore": "evaluate.ignore",
    "--to": "COMMAND.to",
    "--format": "apply.format",
    "model": "apply.model",
}
"""Short flag or argument -> the setting it sets; COMMAND is the name of the command."""

COMMANDS: dict[str, Step | Tool] = {**STEPS, **TOOLS}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "source": {
        "help": "images: a folder, tar, Parquet, LMDB or list of URLs; a local path or a URL"
    },
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
        "help": "other runs, evaluated before, to print beside this one",
    },
    "--extend": {
        "action": "store_true",
        "help": "add the images that the source has besides those planned, as new shards",
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
    "--quarantined": {
        "action": "store_true",
        "help": "also shards with images that were missing, unreadable or killed their worker",
    },
}


def build_parser(command: str | None) -> tuple[ArgumentParser, ArgumentParser | None]:
    """Make the parser of the command line.

    Args:
        command: the only command that gets its flags: making those of all takes a second.

    Returns:
        The parser, and that of the command.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="iem-batch",
        description=iem_batch.__doc__,
        version=iem_batch.__version__,
        allow_abbrev=False,
    )
    subcommands = parser.add_subcommands(required=True, dest="command")
    chosen = None
    for name, described in COMMANDS.items():
        subparser = ArgumentParser(description=described.summary, allow_abbrev=False)
        if name == command:
            chosen = subparser
            _add_arguments(subparser, name, described)
        subcommands.add_subcommand(name, subparser, help=described.summary)
    return parser, chosen


def _add_arguments(parser: ArgumentParser, own: str, command: Step | Tool) -> None:
    for name in command.arguments:
        if name in SHORT and name not in ARGUMENTS:
            setting = _setting(name, own)
            kind = _type_of(setting)
            parser.add_argument(name, type=kind, default=None, help=f"short for --{setting}")
        else:
            parser.add_argument(name.rstrip("?"), **ARGUMENTS[name])
    if not {"run", "run?", "out"} & set(command.arguments):
        return
    parser.add_argument("--config", action="config", help="YAML file with any of the settings")
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


def _setting(flag: str, command: str) -> str:
    """Name the setting that a short flag of a command stands for."""
    return SHORT[flag].replace("COMMAND", command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0 only if everything was done.

    Args:
        arguments: those after the program's name; None takes the process's own.
    """
    try:
        with raising_interrupts():
            _dispatch(sys.argv[1:] if arguments is None else arguments)
    except SettingsError as error:
        _fail(str(error), 2)
    except IEMBatchError as error:
        _fail(str(error), 1)
    except OSError as error:
        _fail(f"{type(error).__name__}: {error}", 1)
    except KeyboardInterrupt as raised:
        # Ray Train has a handler of its own, which raises without saying which signal it was.
        interrupt = raised if isinstance(raised, Interrupt) else Interrupt(signal.SIGINT)
        _fail(str(interrupt), interrupt.status)


def _dispatch(arguments: Sequence[str]) -> None:
    given = next((argument for argument in arguments if argument in COMMANDS), None)
    parser, subparser = build_parser(given)
    parsed = parser.parse_args(arguments)
    command: str = parsed.command
    assert subparser is not None
    assert command == given
    if command == "doctor":
        _tool(command)(**{name: parsed.doctor[name] for name in ("address", "run", "source")})
        return
    # Only now: these import pyarrow and torch, and --help must not wait for them.
    from iem_batch.exec.open import open_executor
    from iem_batch.job import Job
    from iem_batch.run.folder import RunFolder
    from iem_batch.run.layout import CONFIG

    run = RunFolder(parsed[command].get("run") or parsed[command].out)
    if run.exists(CONFIG):
        stored = settings_from_yaml(run.read_bytes(CONFIG), run.url_of(CONFIG))
        subparser.set_defaults(stored)
    if parsed[command].get("paper"):
        subparser.set_defaults(paper_settings(COMMANDS[command].paper))
    options = subparser.instantiate(parser.parse_args(arguments)[command])
    settings = _settings(options, command)
    with open_executor(settings.cluster, local=options.local) as executor:
        job = Job(
            run=run,
            settings=settings,
            executor=executor,
            overwrite=options.overwrite,
            accept_versions=options.accept_versions,
            shards=_shards(options.get("shards")),
        )
        _do(job, command, options)


def _do(job: "Job", command: str, options: Namespace) -> None:
    """Do a command: a step, after the plan where it takes a source, or a tool."""
    step = STEPS.get(command)
    if step is None:
        names = [
            name.lstrip("-").rstrip("?").replace("-", "_") for name in TOOLS[command].arguments
        ]
        own = {name: options[name] for name in names if name != "run" and not _is_short(name)}
        _tool(command)(job, **own)
        return
    from iem_batch.steps.do import do

    if "source" in step.arguments:
        from iem_batch.tools.plan import ensure_plan

        ensure_plan(
            job, options.source, step.kind, extend=options.extend, as_planned=options.as_planned
        )
    do(job, command)
    if options.get("against"):
        from iem_batch.tools.against import print_comparison

        print_comparison(job, options.against)


def _tool(command: str) -> Any:
    return getattr(import_module(f"iem_batch.tools.{TOOLS[command].module}"), command)


def _is_short(name: str) -> bool:
    flag = name.replace("_", "-")
    return any(short in SHORT for short in (flag, f"-{flag}", f"--{flag}"))


def _settings(options: Namespace, command: str) -> Settings:
    """Put the settings together; a short flag that is given beats the long one."""
    settings = Settings(**{section: options[section] for section in SECTIONS})
    for flag in SHORT:
        value = options.get(flag.lstrip("-").replace("-", "_"))
        if value is not None:
            section, _, name = _setting(flag, command).partition(".")
            changed = replace(getattr(settings, section), **{name: value})
            settings = replace(settings, **{section: changed})
    backend = settings.segment.backend
    if backend not in ("auto", *BACKENDS):
        raise SettingsError(f"there is no backend {backend!r}; use auto, {', '.join(BACKENDS)}")
    return settings


def _shards(text: str | None) -> range | None:
    """Read A:B, the shards from A to B - 1."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise SettingsError(f"--shards is {text!r}; it must be A:B with A below B, as in 0:100")
    return range(int(match[1]), int(match[2]))


def _fail(message: str, status: int) -> NoReturn:
    sys.stdout.flush()  # so that a log has both in order
    print(f"iem-batch: {message}", file=sys.stderr)
    sys.exit(status)
