"""Reading the documentation: its pages, their blocks of code, headings and links."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]

README = ROOT / "README.md"

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / name for name in ("CODE_OF_CONDUCT.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]
"""What a person reads, all in Markdown."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Give the blocks of code of a page that are in a language."""
    return [block[2] for block in _FENCE.finditer(page.read_text()) if block[1] == language]


def prose(page: Path) -> str:
    """Give a page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def code_spans(page: Path) -> list[str]:
    """Give what stands in backticks in the prose of a page."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    """Give where the links and pictures of a page lead."""
    text = re.sub(r"`[^`]+`", "", prose(page))
    return re.findall(r"\]\(<?([^)>\s]+)>?\)", text)


def example(first_line: str) -> str:
    """Give the README's block of Python that begins with a line."""
    (block,) = (text for text in blocks(README, "python") if text.startswith(first_line))
    return block
