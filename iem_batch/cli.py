"""The command line `iem-batch`: flags over a YAML file over what the run folder has stored."""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

import iem_batch
from iem_batch.config import SECTIONS, Settings, paper_settings, settings_from_yaml
from iem_batch.errors import IEMBatchError, SettingsError
from iem_batch.iem.backends import BACKENDS
from iem_batch.interrupts import Interrupt, raising_interrupts
from iem_batch.steps.settings import DEMO_DEFAULTS


@dataclass(frozen=True)
class Command:
    """A command; the function of its name in `iem_batch.commands` does the work."""

    summary: str
    arguments: tuple[str, ...] = ("run",)
    """Those of `ARGUMENTS` it takes, besides the settings."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Settings it has other defaults for."""
    paper: tuple[str, ...] = ()
    """Sections in which --paper sets the paper's recipe."""


PLAN_FLAGS = ("--limit", "--sample", "--shard-size")
"""Short for the settings plan.limit, plan.sample and plan.shard_size."""

SELECT_FLAGS = ("-k", "--fraction", "--per-group", "--rounds")
"""Short for the settings select.k, select.fraction, select.per_group and select.rounds."""

SEGNET_FLAGS = ("--backbone",)
"""Short for the setting segnet.backbone."""

COMMANDS = {
    "run": Command(
        "Do all steps, from images to report.",
        ("source", "run", "--truth", "--ignore", "--rounds", *SEGNET_FLAGS, *PLAN_FLAGS),
        paper=("decode", "iem", "segment", "select", "export", "segnet", "train", "predict"),
    ),
    "plan": Command(
        "List the images of a source and cut them into shards.",
        ("source", "run", "--estimate", *PLAN_FLAGS),
    ),
    "segment": Command(
        "Run IEM on every image: masks and errors.",
        ("source", "run", *PLAN_FLAGS),
        paper=("decode", "iem", "segment"),
    ),
    "topk": Command(
        "Select the masks of highest inpainting error, times agreement, in the run.",
        ("run", *SELECT_FLAGS),
        paper=("select",),
    ),
    "export": Command("Write the selected (image, mask) pairs as a corpus.", paper=("export",)),
    "train": Command(
        "Train SegNet on the corpus.", ("run", *SEGNET_FLAGS), paper=("segnet", "train")
    ),
    "predict": Command("Predict SegNet's mask for every image of the plan.", paper=("predict",)),
    "refine": Command("Run IEM again, started from SegNet's masks."),
    "upscale": Command("Bring masks to the size of their photos."),
    "evaluate": Command(
        "Measure masks against ground truth.", ("run", "--truth", "--ignore", "--against")
    ),
    "report": Command("Write one HTML page about the run."),
    "show": Command("Draw one image of a run, or any photo.", ("image", "run?", "--png")),
    "status": Command("Print what is done and what is left.", ("run", "--json")),
    "verify": Command(
        "Compare a run with its plan and its commit marks, byte by byte.",
        ("run", "--json", "--reread"),
    ),
    "retry": Command("Do again the shards that failed.", ("run", "--quarantined")),
    "demo": Command(
        "Make pictures whose masks are known, and do all steps on them.", defaults=DEMO_DEFAULTS
    ),
    "convert": Command(
        "Copy the images of a source into Parquet or tar shards, byte for byte.",
        ("source", "out", "--to", *PLAN_FLAGS),
        defaults={"plan.shard_size": 1024},
    ),
    "doctor": Command(
        "Print what this machine or a cluster can run, and what to do where it cannot.",
        ("--address", "--run", "--source"),
    ),
}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "source": {
        "help": "images: a folder, tar, Parquet, LMDB or list of URLs; a local path or a URL"
    },
    "run": {"help": "run folder: a local path or any fsspec URL, e.g. s3://bucket/run"},
    "run?": {"nargs": "?", "default": ".", "help": "run folder; the current one if not given"},
    "image": {"help": "an image of the run, by its image_id, or any image file"},
    "--png": {"default": None, "help": "file for the picture; IMAGE.iem.png if not given"},
    "out": {"help": "folder for the shards: a local path or any fsspec URL"},
    "--to": {"default": "parquet", "help": "parquet or tar (WebDataset)"},
    "--address": {"default": None, "help": "Ray cluster to look at, e.g. auto or head:6379"},
    "--run": {"default": None, "help": "folder to write to, read from and delete from"},
    "--source": {"default": None, "help": "images to read one of"},
    "--estimate": {
        "action": "store_true",
        "help": "time a sample of the images and print the hours and the cost of segment",
    },
    "--limit": {"type": int, "default": None, "help": "short for --plan.limit"},
    "--sample": {"type": float, "default": None, "help": "short for --plan.sample"},
    "--shard-size": {"type": int, "default": None, "help": "short for --plan.shard_size"},
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
    "--reread": {
        "action": "store_true",
        "help": "read the source too, and compare the ids of all images",
    },
    "--quarantined": {
        "action": "store_true",
        "help": "also shards with images that were missing, unreadable or killed their worker",
    },
    "-k": {"type": int, "default": None, "help": "short for --select.k"},
    "--fraction": {"type": float, "default": None, "help": "short for --select.fraction"},
    "--per-group": {"default": None, "help": "short for --select.per_group"},
    "--rounds": {"type": int, "default": None, "help": "short for --select.rounds"},
    "--backbone": {"default": None, "help": "short for --segnet.backbone"},
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
        help="go on with a step that other versions of the code or its libraries have begun",
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; the exit status is 0 only if everything was done.

    Args:
        arguments: what stands after the program's name; None takes the process's own.
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
    # Only now: these import pyarrow and torch, and --help must not wait for them.
    from iem_batch import commands
    from iem_batch.job import Job
    from iem_batch.run.run_folder import CONFIG, RunFolder

    if command == "doctor":
        commands.doctor(**{name: parsed.doctor[name] for name in ("address", "run", "source")})
        return
    run = RunFolder(parsed[command].get("run") or parsed[command].out)
    if run.exists(CONFIG):
        stored = settings_from_yaml(run.read_bytes(CONFIG), run.url_of(CONFIG))
        subparser.set_defaults(stored)
    if parsed[command].get("paper"):
        subparser.set_defaults(paper_settings(COMMANDS[command].paper))
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
    settled = (
        "run",
        "out",
        *(flag.lstrip("-") for flag in PLAN_FLAGS + SELECT_FLAGS + SEGNET_FLAGS),
    )
    own = {name: options[name] for name in names if name not in settled}
    getattr(commands, command)(job, **own)


def _settings(options: Namespace) -> Settings:
    settings = Settings(**{section: options[section] for section in SECTIONS})
    settings = replace(
        settings,
        plan=replace(settings.plan, **_given(options, PLAN_FLAGS)),
        select=replace(settings.select, **_given(options, SELECT_FLAGS)),
        segnet=replace(settings.segnet, **_given(options, SEGNET_FLAGS)),
    )
    backend = settings.segment.backend
    if backend not in ("auto", *BACKENDS):
        raise SettingsError(f"there is no backend {backend!r}; use auto, {', '.join(BACKENDS)}")
    return settings


def _given(options: Namespace, flags: Sequence[str]) -> dict[str, Any]:
    """Collect the settings that stand in short flags."""
    names = [flag.lstrip("-").replace("-", "_") for flag in flags]
    return {name: options[name] for name in names if options.get(name) is not None}


def _fail(message: str, status: int) -> NoReturn:
    sys.stdout.flush()  # in a log, what was said before stays before
    print(f"iem-batch: {message}", file=sys.stderr)
    sys.exit(status)
