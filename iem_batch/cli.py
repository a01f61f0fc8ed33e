"""The command line `iem-batch`: flags over a YAML file over what the run folder has stored."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

import iem_batch
from iem_batch.config import SECTIONS, Settings, settings_from_yaml
from iem_batch.errors import IEMBatchError, SettingsError
from iem_batch.iem.backends import BACKENDS
from iem_batch.stages.settings import DEMO_DEFAULTS


@dataclass(frozen=True)
class Command:
    """A command; the function of its name in `iem_batch.commands` does the work."""

    summary: str
    arguments: tuple[str, ...] = ("run",)
    """Those of `ARGUMENTS` it takes, besides the settings."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings it has other defaults for."""


COMMANDS = {
    "run": Command(
        "Do all steps, from images to report.", ("source", "run", "--truth", "--ignore")
    ),
    "plan": Command("List the images of a source and cut them into shards.", ("source", "run")),
    "segment": Command("Run IEM on every image: masks and errors.", ("source", "run")),
    "topk": Command("Select the masks of highest inpainting error in the run.", ("run", "-k")),
    "export": Command("Write the selected (image, mask) pairs as a corpus."),
    "train": Command("Train SegNet on the corpus."),
    "predict": Command("Predict SegNet's mask for every image of the plan."),
    "refine": Command("Run IEM again, started from SegNet's masks."),
    "evaluate": Command(
        "Measure masks against ground truth.", ("run", "--truth", "--ignore", "--against")
    ),
    "report": Command("Write one HTML page about the run."),
    "show": Command("Draw one image of a run, or any photo.", ("image", "run?", "--png")),
    "status": Command("Print what is done and what is left.", ("run", "--json")),
    "demo": Command(
        "Make pictures whose masks are known, and do all steps on them.", defaults=DEMO_DEFAULTS
    ),
    "doctor": Command("Print what this machine can run, and why not.", ()),
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "source": {"help": "folder of images: a local path or any fsspec URL"},
    "run?": {"nargs": "?", "default": ".", "help": "run folder; the current one if not given"},
    "image": {"help": "an image of the run, by its image_id, or any image file"},
    "--png": {"default": None, "help": "file for the picture; IMAGE.iem.png if not given"},
    "run": {"help": "run folder: a local path or any fsspec URL, e.g. s3://bucket/run"},
    "--truth": {
        "default": None,
        "help": "ground truth: a folder of masks named like the images, COCO JSON, or Parquet",
    },
    "--ignore": {"default": None, "help": "folder of masks of the pixels that count nowhere"},
    "--against": {
        "nargs": "+",
        "default": [],
        "help": "other runs, evaluated before, to print beside this one",
    },
    "--json": {"action": "store_true", "help": "print JSON instead of a table"},
    "-k": {"type": int, "default": None, "help": "short for --select.k"},
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
            _add_arguments(subparser, described)
        subcommands.add_subcommand(name, subparser, help=described.summary)
    return parser, chosen


def _add_arguments(parser: ArgumentParser, command: Command) -> None:
    for name in command.arguments:
        parser.add_argument(name.rstrip("?"), **ARGUMENTS[name])
    if not {"run", "run?"} & set(command.arguments):
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
        help="go on with a step that other versions of the code or its libraries have begun",
    )
    for section, kind in SECTIONS.items():
        parser.add_class_arguments(kind, section)
    parser.set_defaults(dict(command.defaults))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0 only if everything was done.

    Args:
        arguments: what stands after the program's name; None takes the process's own.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _dispatch(sys.argv[1:] if arguments is None else arguments)
    except SettingsError as error:
        _fail(str(error), 2)
    except IEMBatchError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to do the rest", 130)


def _dispatch(arguments: Sequence[str]) -> None:
    given = next((argument for argument in arguments if argument in COMMANDS), None)
    parser, subparser = build_parser(given)
    parsed = parser.parse_args(arguments)
    command: str = parsed.command
    assert subparser is not None
    assert command == given
    # Only now: these import pyarrow and torch, and --help must not wait for them.
    from iem_batch import commands
    from iem_batch.data.run_folder import CONFIG, RunFolder
    from iem_batch.job import Job

    if command == "doctor":
        commands.doctor()
        return
    run = RunFolder(parsed[command].run)
    if run.exists(CONFIG):
        stored = settings_from_yaml(run.read_bytes(CONFIG), f"{run.url}/{CONFIG}")
        subparser.set_defaults(stored)
        parsed = parser.parse_args(arguments)
    options = subparser.instantiate(parsed[command])
    job = Job(
        run=run,
        settings=_settings(options),
        local=options.local,
        overwrite=options.overwrite,
        accept_versions=options.accept_versions,
    )
    names = [name.lstrip("-").rstrip("?") for name in COMMANDS[command].arguments]
    own = {name: options[name] for name in names if name not in ("run", "k")}
    getattr(commands, command)(job, **own)


def _settings(options: Namespace) -> Settings:
    settings = Settings(**{section: options[section] for section in SECTIONS})
    if options.get("k") is not None:
        settings = replace(settings, select=replace(settings.select, k=options.k))
    backend = settings.segment.backend
    if backend not in ("auto", *BACKENDS):
        raise SettingsError(f"there is no backend {backend!r}; use auto, {', '.join(BACKENDS)}")
    return settings


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, status: int) -> NoReturn:
    print(f"iem-batch: {message}", file=sys.stderr)
    sys.exit(status)
