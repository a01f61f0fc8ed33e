"""The documentation says what the program does: its links, commands, names and pages."""

import ast
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from iem_batch.arguments import COMMANDS, build_parser, join_lists, set_short
from iem_batch.config import SECTIONS
from iem_batch.help_text import brief_help
from tests.documentation import PAGES, README, ROOT, anchors, blocks, code_spans, links

DOCS = ROOT / "docs"
CALL = re.compile(r"(?:iem-batch|python -m iem_batch|.*python jobs/iem\.py) (.*)")
SETTING = re.compile(rf"(?:--)?({'|'.join(SECTIONS)})\.(?!yaml)([a-z_]+)(?:[= ].*)?")
PLACEHOLDERS = ("COMMAND", "STEP")

NOW = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages that tell of the program as it is; the changelog tells of former names too."""


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@functools.cache
def parser_of(command: str) -> ArgumentParser:
    return build_parser(command, brief_help)


def calls(page: Path) -> Iterator[str]:
    """Give what stands behind `iem-batch`, in blocks of shell and in backticks."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    for line in [*lines, *code_spans(page)]:
        if found := CALL.fullmatch(line.removeprefix("$ ").strip()):
            yield found[1]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 900


def test_python_of_the_readme_is_run() -> None:
    """By `test_example_of_the_readme` of tests/test_notebook.py and tests/test_model.py."""
    first_lines = [block.splitlines()[0] for block in blocks(README, "python")]
    assert first_lines == ["from iem_batch import segment", "from iem_batch import load"]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        if DOCS in page.parents:
            assert DOCS in target.resolve().parents, f"{link} is not on the site"


@pytest.mark.parametrize("page", NOW, ids=by_name)
def test_commands_can_be_called(page: Path) -> None:
    """Catches a command, flag, setting or value that has another name by now."""
    for call in calls(page):
        command, *arguments = shlex.split(call, comments=True)
        if command in PLACEHOLDERS or command.startswith("-"):
            continue
        assert command in COMMANDS, call
        if {"--help", "--help-all"} & set(arguments):
            continue
        if arguments:  # in prose a command may stand without them
            parser = parser_of(command)
            parser.instantiate(set_short(parser.parse_args(join_lists(arguments)), command))


@pytest.mark.parametrize("page", NOW, ids=by_name)
def test_settings_exist(page: Path) -> None:
    for span in code_spans(page):
        if found := SETTING.fullmatch(span):
            assert found[2] in SECTIONS[found[1]].kinds, span


@pytest.mark.parametrize("page", NOW, ids=by_name)
def test_files_and_tests_exist(page: Path) -> None:
    roots = "tests|benchmarks|iem_batch|deploy|configs|jobs|scripts|docs"
    for span in code_spans(page):
        found = re.fullmatch(rf"((?:{roots})/[\w./-]+?)(?:::(\w+))?(?: .*)?", span)
        if found is None or "NAME" in span:
            continue
        file = ROOT / found[1]
        assert file.exists(), span
        assert found[2] is None or f"def {found[2]}(" in file.read_text(), span


def test_reference_pages_are_those_of_the_code() -> None:
    """When this fails: python docs/generate.py."""
    code = (
        "import runpy; made = runpy.run_path('docs/generate.py'); "
        "stale = [name for name, page in made['PAGES'].items()"
        " if (made['FOLDER'] / name).read_text() != page()]; print(stale)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def messages() -> list[str]:
    """Give all texts of the program, with … for what is filled in."""
    texts = []
    for file in (ROOT / "iem_batch").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_messages_of_troubleshooting_are_the_programs() -> None:
    page = ROOT / "docs/howto/troubleshooting.md"
    named = re.findall(r"^### `(.+)`$", page.read_text(), re.MULTILINE)
    assert len(named) > 20
    known = messages()
    assert [text for text in named if not any(text in message for message in known)] == []


def test_every_page_is_in_the_navigation() -> None:
    class Loader(yaml.SafeLoader):
        """Reads names of Python objects, which MkDocs has, as text."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, tag, node: tag)
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)

    def files(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from files(below) if not isinstance(entry, str) else ()

    files_of_docs = [*DOCS.glob("*.ipynb"), *(page for page in PAGES if DOCS in page.parents)]
    pages = {str(file.relative_to(DOCS)) for file in files_of_docs}
    assert sorted(files(config["nav"])) == sorted(pages)


@pytest.mark.parametrize(
    "file",
    [
        *ROOT.glob(".github/**/*.yml"),
        ROOT / ".pre-commit-config.yaml",
        ROOT / "CITATION.cff",
        ROOT / "cluster.yaml",
        ROOT / "deploy/rayjob.yaml",
        *ROOT.glob("configs/*.yaml"),
    ],
    ids=by_name,
)
def test_yaml_can_be_read(file: Path) -> None:
    assert isinstance(yaml.safe_load(file.read_text()), dict)
