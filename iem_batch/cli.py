"""The command line `iem-batch`: flags over the YAML file over what the run folder has stored."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from jsonargparse import ArgumentParser, set_parsing_settings

import iem_batch
from iem_batch.config import SECTIONS, Settings, settings_from_yaml
from iem_batch.errors import IEMBatchError, SettingsError

_RUN = ("run", "run folder: a local path or any fsspec URL (s3://bucket/run)")
_SOURCE = ("source", "folder of images: a local path or any fsspec URL")

COMMANDS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "run": ("Do all steps, from images to report.", (_SOURCE, _RUN)),
    "plan": ("List the images of a source and cut them into shards.", (_SOURCE, _RUN)),
    "segment": ("Run IEM on every image: masks and inpainting errors.", (_SOURCE, _RUN)),
    "topk": ("Select the masks of highest inpainting error in the whole run.", (_RUN,)),
    "export": ("Write the selected (image, mask) pairs as a corpus.", (_RUN,)),
    "train": ("Train SegNet on the corpus.", (_RUN,)),
    "predict": ("Predict SegNet's mask for every image of the plan.", (_RUN,)),
    "refine": ("Run IEM again, started from SegNet's masks.", (_RUN,)),
    "evaluate": ("Measure all masks against ground truth.", (_RUN,)),
    "report": ("Write one HTML page about the run.", (_RUN,)),
    "status": ("Print what is done and what is left.", (_RUN,)),
    "demo": ("Make pictures with known masks and do all steps on them.", (_RUN,)),
    "doctor": ("Print what this machine can run, and why not.", ()),
}
"""Command -> what it does, and its positional arguments."""


def build_parser() -> tuple[ArgumentParser, dict[str, ArgumentParser]]:
    """Make the parser of the whole command line, and those of its commands."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog="iem-batch", description=iem_batch.__doc__, version=iem_batch.__version__
    )
    subcommands = parser.add_subcommands(required=True, dest="command")
    subparsers = {}
    for command, (summary, positionals) in COMMANDS.items():
        subparser = ArgumentParser(description=summary)
        for name, meaning in positionals:
            subparser.add_argument(name, help=meaning)
        if positionals:
            _add_flags(subparser, command)
        subcommands.add_subcommand(command, subparser, help=summary)
        subparsers[command] = subparser
    return parser, subparsers


def _add_flags(subparser: ArgumentParser, command: str) -> None:
    subparser.add_argument("--config", action="config", help="YAML file with any settings below")
    subparser.add_argument(
        "--local", action="store_true", help="do it in this process, without Ray"
    )
    subparser.add_argument(
        "--overwrite",
        action="store_true",
        help="drop what this step and the later ones have left, if it was made otherwise",
    )
    if command == "topk":
        subparser.add_argument("-k", type=int, default=None, help="the same as --select.k")
    if command in ("evaluate", "run"):
        subparser.add_argument("--truth", default=None, help="folder of ground-truth masks")
        subparser.add_argument("--ignore", default=None, help="folder of masks of ignored pixels")
    if command == "status":
        subparser.add_argument("--json", action="store_true", help="print JSON")
    for section, kind in SECTIONS.items():
        subparser.add_class_arguments(kind, section)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0 only if everything was done.

    Args:
        arguments: what stands after the program's name; None takes the process's own.
    """
    signal.signal(signal.SIGTERM, _terminated)
    try:
        status = _dispatch(arguments)
    except SettingsError as error:
        _fail(str(error), 2)
    except IEMBatchError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to do the rest", 130)
    else:
        sys.exit(status)


def _dispatch(arguments: Sequence[str] | None) -> int:
    parser, subparsers = build_parser()
    parsed = parser.parse_args(arguments)
    command = parsed.command
    # Only now: these import pyarrow and torch, and --help must not wait for them.
    from iem_batch import commands
    from iem_batch.data.run_folder import CONFIG, RunFolder

    if command == "doctor":
        return commands.doctor()
    run = RunFolder(parsed[command].run)
    if run.exists(CONFIG):
        stored = settings_from_yaml(run.read_bytes(CONFIG), f"{run.url}/{CONFIG}")
        subparsers[command].set_defaults(stored)
        parsed = parser.parse_args(arguments)
    options = subparsers[command].instantiate(parsed[command])
    settings = Settings(**{section: options[section] for section in SECTIONS})
    job = commands.Job(
        run=run,
        source=options.get("source"),
        settings=settings,
        local=options.local,
        overwrite=options.overwrite,
    )
    return commands.COMMANDS[command](job, options)


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, status: int) -> None:
    print(f"iem-batch: {message}", file=sys.stderr)
    sys.exit(status)
