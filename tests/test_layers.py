"""The import graph of iem_batch points one way, and only `distributed` needs Ray."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "iem_batch"

# What each part may import from iem_batch. A part not listed here fails the test.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "checks": {"errors"},
    "processes": set(),
    "metrics": {"errors"},
    "foreground": set(),
    "iem": {"checks", "errors"},
    "segnet": {"checks", "errors", "metrics"},
    "data": {"checks", "errors", "processes"},
    "shards": {"checks", "errors", "processes", "data"},
    "stages": {"checks", "errors", "metrics", "foreground", "iem", "segnet", "data", "shards"},
    "distributed": {"checks", "errors", "iem", "segnet", "data", "shards", "stages"},
    # The settings of `distributed` are one of the sections of the configuration.
    "config": {"errors", "iem", "segnet", "data", "shards", "stages", "distributed"},
    "notebook": {"errors", "iem", "data", "shards", "stages"},
    # The command line, in the files that make it up.
    "progress": {"errors"},
    "interrupts": {"errors", "processes"},
    "job": {"errors", "config", "progress", "iem", "data", "shards", "stages", "distributed"},
    "commands": {
        *("errors", "config", "job", "notebook", "progress", "metrics"),
        *("segnet", "data", "shards", "stages", "distributed"),
    },
    "cli": {
        "errors",
        "interrupts",
        "config",
        "job",
        "commands",
        "iem",
        "data",
        "shards",
        "stages",
        "distributed",
    },
}


# The command line and the cluster choose an engine and know nothing of how one works.
COMMAND_LINE = ("cli", "commands", "job", "distributed")
FACE_OF_IEM = {"iem_batch.iem.backends", "iem_batch.iem.settings"}


def imported_names(source: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("iem_batch.")}


@pytest.mark.parametrize(
    "source", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_down(source: Path) -> None:
    part = source.relative_to(PACKAGE).with_suffix("").parts[0]
    if part == "__init__":
        return
    imported = {name.split(".")[1] for name in imported_names(source)}
    assert imported - {part} <= ALLOWED[part]


@pytest.mark.parametrize("part", COMMAND_LINE)
def test_command_line_uses_the_face_of_iem(part: str) -> None:
    sources = [PACKAGE / f"{part}.py", *(PACKAGE / part).glob("*.py")]
    names = {n for source in sources if source.exists() for n in imported_names(source)}
    names = {name for name in names if name.startswith("iem_batch.iem.")}
    assert {name.rpartition(".")[0] for name in names} <= FACE_OF_IEM


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("iem_batch.iem", ["ray", "pyarrow", "fsspec"]),
        ("iem_batch.iem.backends", ["ray", "pyarrow", "fsspec"]),
        ("iem_batch.run.load", ["ray", "torch"]),
        ("iem_batch.steps.segment.step", ["ray"]),
        ("iem_batch.notebook", ["ray", "torch", "pyarrow", "fsspec", "matplotlib"]),
        ("iem_batch.cli", ["ray", "torch", "pyarrow"]),
    ],
)
def test_importable_without(module: str, absent: list[str]) -> None:
    """A stray import at module level makes --help slow, or a notebook need a cluster."""
    block = "".join(f"sys.modules[{name!r}] = None; " for name in absent)
    code = f"import sys; {block}import {module}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)
