"""The command line `iem-batch`: flags over a YAML file over what the run folder has stored."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

import iem_batch
from iem_batch.arguments import COMMANDS, SHORT, build_parser, join_lists, long_name, set_short
from iem_batch.completion import completion
from iem_batch.config import SECTIONS, Settings, paper_settings, settings_from_yaml
from iem_batch.errors import IEMBatchError, SettingsError
from iem_batch.help_text import brief_help, overview
from iem_batch.iem.backends import BACKENDS
from iem_batch.interrupts import Interrupt, for_the_reader, raising_interrupts
from iem_batch.mistakes import in_words, no_command
from iem_batch.steps.registry import STEPS
from iem_batch.tools.registry import TOOLS

if TYPE_CHECKING:
    from iem_batch.job import Job
    from iem_batch.run.folder import RunFolder

RAY_FLAGS = {"--cluster.address", "--cluster.num_workers", "--cluster.shards_per_worker"}
"""Flags that mean nothing without Ray."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0 only if everything was done.

    Args:
        arguments: those after the program's name; None takes the process's own.
    """
    with for_the_reader():
        _main(sys.argv[1:] if arguments is None else arguments)


def _main(arguments: Sequence[str]) -> None:
    """Do a command; what goes wrong becomes a line and an exit status."""
    try:
        with raising_interrupts():
            _dispatch(arguments)
    except SettingsError as error:
        _fail(str(error), 2)
    except IEMBatchError as error:
        _fail(str(error), 1)
    except BrokenPipeError:  # of standard output: what a store breaks off is a StorageError
        raise
    except OSError as error:
        _fail(f"{type(error).__name__}: {error}", 1)
    except Interrupt as interrupt:
        _fail(str(interrupt), interrupt.status)


def _dispatch(arguments: Sequence[str]) -> None:
    command = arguments[0] if arguments else ""
    if command in ("-h", "--help"):
        print(overview())
        return
    if command == "--version":
        print(f"iem-batch {iem_batch.__version__}")
        return
    if command == "completion":
        print(completion(arguments[1:]), end="")
        return
    if not command:
        raise SettingsError("give a command, as in `iem-batch run photos run`; see --help")
    if command not in COMMANDS:
        raise SettingsError(no_command(command))
    parser, given = build_parser(command, brief_help), join_lists(arguments[1:])
    parsed = _parse(parser, command, given)
    if command == "doctor":
        _tool(command)(**{name: parsed[name] for name in ("address", "run", "source")})
        return
    # Only now: these import pyarrow and torch, and --help must not wait for them.
    from iem_batch.exec.open import open_executor
    from iem_batch.job import Job
    from iem_batch.run.folder import RunFolder
    from iem_batch.run.marker import require_lasting, require_made

    place: str = parsed.get("run") or parsed.out
    require_lasting(place)
    run = RunFolder(place)
    takes = set(COMMANDS[command].arguments)
    if "run" in takes and not takes & {"source", "out"} and command != "demo":
        require_made(run, a_run=command in STEPS)
    places = _set_defaults(parser, command, parsed, run)
    flags = {argument.partition("=")[0] for argument in given}
    flags |= {f"--{long_name(flag, command)}" for flag in flags & SHORT.keys()}
    try:
        options = parser.instantiate(set_short(_parse(parser, command, given), command))
        settings = _settings(options)
    except SettingsError as error:
        name = str(error).partition(" ")[0].removeprefix("--")
        where = "" if f"--{name}" in flags else places.get(name)
        raise SettingsError(f"{where}: {error}" if where else str(error)) from error
    if options.local and (of_ray := sorted(flags & RAY_FLAGS)):
        raise SettingsError(f"{of_ray[0]} is of Ray, which --local does without; drop one of them")
    with open_executor(settings.cluster, local=options.local) as executor:
        job = Job(
            run=run,
            settings=settings,
            executor=executor,
            overwrite=options.overwrite,
            accept_versions=options.accept_versions,
            shards=_shards(options.get("shards")),
            against=options.get("against", ()),
        )
        _do(job, command, options)


def _parse(parser: ArgumentParser, command: str, arguments: list[str]) -> Namespace:
    try:
        return parser.parse_args(arguments)
    except argparse.ArgumentError as error:
        raise SettingsError(in_words(str(error), command, parser)) from error


def _set_defaults(
    parser: ArgumentParser, command: str, parsed: Namespace, run: "RunFolder"
) -> dict[str, str]:
    """Take what the run has stored, the paper's recipe and the files of --config for defaults.

    Returns:
        Setting -> the file and the line that it comes from.
    """
    from iem_batch.run.layout import CONFIG

    places: dict[str, str] = {}
    if run.exists(CONFIG):
        try:
            stored, places = settings_from_yaml(run.read_bytes(CONFIG), run.url_of(CONFIG))
        except SettingsError as error:
            ours = f"this is iem-batch {iem_batch.__version__}"
            raise SettingsError(f"{error}; has another version made the run? {ours}") from error
        parser.set_defaults(stored)
    if parsed.get("paper"):
        parser.set_defaults(paper_settings(COMMANDS[command].paper))
    for file in parsed.config:
        if not Path(file).is_file():
            raise SettingsError(f"--config is {file}; there is no such file")
        sections, found = settings_from_yaml(Path(file).read_bytes(), file)
        parser.set_defaults(sections)
        places |= found
    return places


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


def _tool(command: str) -> Any:
    return getattr(import_module(f"iem_batch.tools.{TOOLS[command].module}"), command)


def _is_short(name: str) -> bool:
    flag = name.replace("_", "-")
    return any(short in SHORT for short in (flag, f"-{flag}", f"--{flag}"))


def _settings(options: Namespace) -> Settings:
    """Put the settings together; a short flag that is given beats the long one."""
    settings = Settings(**{section: options[section] for section in SECTIONS})
    if options.get("k") is not None:
        if options.get("fraction") is not None:
            raise SettingsError("-k and --fraction say the same; give one of them")
        settings = replace(settings, topk=replace(settings.topk, fraction=None))
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
