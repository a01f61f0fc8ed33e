"""The import graph of iem_batch points one way, and only two places import Ray."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from iem_batch.steps.registry import STEPS

PACKAGE = Path(__file__).parents[1] / "iem_batch"

BASE = (
    *("errors", "checks", "processes", "interrupts", "progress", "foreground", "metrics"),
    *("waiting", "words"),
)
"""Files that know nothing of images, runs or steps."""

SETTINGS = (
    *("iem.settings", "segnet.settings", "images.settings", "run.settings", "exec.settings"),
    *("storage.settings", "mask_files.settings"),
)
"""Sections of the settings that belong to no step."""

RECORDS = ("steps.topk.scores", "steps.export.formats")
"""What settings may name: records by their names, which import nothing that takes long."""

TRAIN_ON_RAY = ("steps.train.on_ray", "steps.train.ray_worker")

# What each room may import, beside itself: rooms, and single modules of them. A file that is in no
# room fails the test.
ALLOWED: dict[str, set[str]] = {
    **{name: {"errors", "processes", "words"} for name in BASE},
    "storage": {*BASE},
    "images": {*BASE},
    "iem": {*BASE},
    "segnet": {*BASE, "images.settings"},
    "model_file": {*BASE, "storage"},
    "pretrained": {*BASE, "storage"},
    "results": {*BASE, "images", "steps.upscale.upsampling", "steps.report.sheet"},
    "given": {*BASE, "storage", "images"},
    "sources": {*BASE, "storage", "images.first_bytes"},
    "run": {*BASE, "storage", "images", "sources"},
    "mask_files": {*BASE, "storage", "images", "sources", "run"},
    "exec": {*BASE, "storage", "run", "iem.backends", "exec.ray.executor"},
    "exec.ray": {*BASE, "run", "iem.backends", "exec"},
    "steps.registry": set(),
    "steps.NAME.settings": {*BASE, *RECORDS, "mask_files.settings"},
    "config": {*BASE, *SETTINGS, "tools.settings", "steps.NAME.settings"},
    "job": {*BASE, "config", "run", "exec", "iem.backends"},
    "steps": {*BASE, "images", "sources", "run", "iem.result", "exec", "job", "steps.registry"},
    "steps.NAME": {
        *(*BASE, "storage", "images", "sources", "run", "iem", "segnet", "exec", "job"),
        *("steps", "steps.registry", "steps.NAME.settings", "steps.train on Ray", "model_file"),
        *("config", "mask_files"),
    },
    "steps.train on Ray": {*(*BASE, "segnet", "exec", "exec.ray", "steps.NAME")},
    # They fuse masks, bring them to the size of photos and draw pictures as the steps do.
    "notebook": {
        *(*BASE, "storage", "images", "iem", "given", "results", "steps.fuse.fusion"),
        *("steps.NAME.settings", "steps.report.panels", "steps.report.sheet"),
    },
    "model": {
        *(*BASE, "images", "segnet", "given", "results", "model_file"),
        *("steps.report.panels", "steps.report.sheet"),
    },
    "tools": {
        *(*BASE, "storage", "images", "sources", "run", "iem.backends", "exec", "exec.ray", "job"),
        *("steps", "steps.registry", "steps.NAME", "notebook", "segnet", "model", "model_file"),
    },
    "arguments": {"config", "steps.registry", "tools"},
    "help_text": {"arguments", "config", "steps.registry"},
    "completion": {*BASE, "arguments", "config"},
    "mistakes": {*BASE, "arguments", "config", "help_text"},
    "cli": {
        *(*BASE, "config", "job", "run", "iem.backends", "exec", "steps", "steps.registry"),
        *("tools", "arguments", "help_text", "mistakes", "completion"),
    },
    "__main__": {"cli"},
}

NAMES_NO_STEP = ("storage", "images", "sources", "run", "exec", "iem", "job", *BASE)


def module_name(source: Path) -> str:
    """Name a file as it is imported, without `iem_batch.`; empty for the package itself."""
    parts = source.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


SOURCES = {module_name(source): source for source in sorted(PACKAGE.rglob("*.py"))}


def imported_names(module: str) -> set[str]:
    """List what a file imports, at its top or inside of a function."""
    names = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported_modules(module: str) -> set[str]:
    """List the files of iem_batch that a file imports, but for the package itself."""
    names = {name.removeprefix("iem_batch.") for name in imported_names(module) if "." in name}
    found = {name if name in SOURCES else name.rpartition(".")[0] for name in names}
    return {name for name in found if name and name in SOURCES}


def room(module: str) -> str:
    """Give the room a file is in."""
    if module in TRAIN_ON_RAY:
        return "steps.train on Ray"
    first, *rest = module.split(".")
    if first == "steps" and rest and rest[0] in STEPS:
        return "steps.NAME.settings" if rest[1:] == ["settings"] else "steps.NAME"
    if module == "steps.registry" or module.startswith("exec.ray"):
        return ".".join([first, rest[0]])
    return first


def test_a_room_is_known() -> None:
    assert room("exec.local") == "exec"
    assert room("exec.ray.pipeline") == "exec.ray"
    assert room("steps.do") == "steps"
    assert room("steps.fuse.fusion") == "steps.NAME"
    assert room("steps.topk.settings") == "steps.NAME.settings"
    assert "run.marks" in imported_modules("exec.step")


@pytest.mark.parametrize("module", [module for module in SOURCES if module])
def test_imports_point_down(module: str) -> None:
    own = room(module)
    assert own in ALLOWED
    wrong = [
        other
        for other in imported_modules(module)
        if room(other) != own and not {other, room(other)} & ALLOWED[own]
    ]
    assert wrong == []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_imports_only_steps_before_it(step: str) -> None:
    """Their settings too: what comes later may be taken away without touching this one."""
    own = [module for module in SOURCES if f"{module}.".startswith(f"steps.{step}.")]
    others = {
        other.split(".")[1]
        for module in own
        for other in imported_modules(module)
        if room(other).startswith("steps.NAME")
    }
    order = list(STEPS)
    assert others <= set(order[: order.index(step) + 1])


def test_every_step_has_its_package() -> None:
    packages = {path.parent.name for path in (PACKAGE / "steps").glob("*/__init__.py")}
    assert packages == set(STEPS)


def test_no_cycles() -> None:
    graph = {module: imported_modules(module) - {module} for module in SOURCES if module}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


@pytest.mark.parametrize("module", SOURCES)
def test_ray_is_imported_in_two_places(module: str) -> None:
    if any(imported.partition(".")[0] == "ray" for imported in imported_names(module)):
        assert module.startswith(("exec.ray", *TRAIN_ON_RAY))


@pytest.mark.parametrize("module", [m for m in SOURCES if m.split(".")[0] in NAMES_NO_STEP])
def test_lower_rooms_name_no_step(module: str) -> None:
    """They are told which step it is: a new one is nothing to them."""
    nodes = list(ast.walk(ast.parse(SOURCES[module].read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in docstrings
    ]
    assert [text for text in texts if text.partition("/")[0] in STEPS] == []


@pytest.mark.parametrize("module", [m for m in SOURCES if room(m) in ("cli", "tools", "job")])
def test_command_line_uses_the_face_of_iem(module: str) -> None:
    """The command line chooses an engine and knows nothing of how one works."""
    iem = {name for name in imported_modules(module) if name.startswith("iem.")}
    assert iem <= {"iem.backends", "iem.settings"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("iem_batch.iem", ["ray", "pyarrow", "fsspec"]),
        ("iem_batch.iem.backends", ["ray", "pyarrow", "fsspec"]),
        ("iem_batch.run.load", ["ray", "torch"]),
        ("iem_batch.steps.segment.step", ["ray"]),
        ("iem_batch.notebook", ["ray", "torch", "pyarrow", "fsspec", "matplotlib"]),
        ("iem_batch.model", ["ray", "pyarrow", "matplotlib"]),
        ("iem_batch.cli", ["ray", "torch", "pyarrow"]),
    ],
)
def test_importable_without(module: str, absent: list[str]) -> None:
    """A stray import at module level makes --help slow, or a notebook need a cluster."""
    block = "".join(f"sys.modules[{name!r}] = None; " for name in absent)
    code = f"import sys; {block}import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)
