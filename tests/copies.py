"""A copy of the package to which a thing is added as CONTRIBUTING.md lists it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def listed(thing: str) -> list[str]:
    """List the files of a section of the page."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    section = re.search(rf"^## Add an? {thing}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    assert section is not None
    return re.findall(r"^\d+\. `([^`]+)`", section[1], re.M)


class Copy:
    """A copy of the package to which a thing is added, file by file of the page."""

    def __init__(self, root: Path, thing: str, name: str) -> None:
        self.root, self._name = root, name
        self.files = {path: path.replace("NAME", name) for path in listed(thing)}
        self._left = set(self.files)
        shutil.copytree(
            ROOT / "iem_batch",
            root / "iem_batch",
            ignore=shutil.ignore_patterns("__pycache__", "*.cpp", "*.inc"),
        )

    def write(self, path: str, text: str) -> None:
        """Write a new file of the list."""
        self._left.remove(path)
        file = self.root / self.files[path]
        assert not file.exists()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def insert(self, path: str, *pairs: str) -> None:
        """Put texts into a file of the list, each after the place it goes before."""
        self._left.remove(path)
        file = self.root / self.files[path]
        for before, text in zip(pairs[::2], pairs[1::2], strict=True):
            head, found, tail = file.read_text().rpartition(before)
            assert found
            file.write_text(head + text + found + tail)

    def test(self, path: str, text: str) -> None:
        """Write the test of the list and run it."""
        self.write(path, text)
        assert not self._left, "the page lists files that need not be touched"
        self._call("pytest", "-q", "-p", "no:cacheprovider", self.files[path])

    def iem_batch(self, *arguments: str) -> str:
        """Run a command of the copy; gives what it prints."""
        return self._call("iem_batch", *arguments)

    def _call(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
