"""Time and peak memory of planning, on collections of the size of LSUN Car and of a million files.

    python -m benchmarks.plan FOLDER [--keys 5520753] [--files 1000000] [--json OUT.json]

Makes in FOLDER (some 2 GB and a million inodes, deleted again):

- lmdb: keys of 40 hexadecimal characters as LSUN has them, with values of 16 bytes;
- tree: real empty files in 1,000 folders; flat: the same number in one folder, whose names are
  sorted in files;
- store: no files but a listing as an object store gives it, 1,000 keys a page, each page after
  `--page-ms` of waiting, in 100 folders;
- extend, anew: such listings of `--files` and a tenth more: the plan of `--files` is extended by
  the tenth, and all are planned anew;
- addition, listing: what an extension cannot do without: planning the tenth alone, and listing all
  once.

Each is planned by a process of its own, which writes the plan to FOLDER and reports its time and
its peak resident memory, that of mapped files included.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.memory import peak_mb
from iem_batch.run.extend import extend_plan
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import FolderSource, Source, open_source
from iem_batch.storage.folder import Folder, FoundFile
from iem_batch.storage.walk import Page, walk_pages

CASES = ("lmdb", "tree", "flat", "store", "extend", "anew", "addition", "listing")
LISTED = ("store", "extend", "anew", "addition", "listing")
"""Those of which no file is made."""
STORE_FOLDERS = 100
PAGE_KEYS = 1000


URL = "memory://made-up"
SETTINGS = PlanSettings()


@dataclass(frozen=True)
class PagedFolder(Folder):
    """Lists keys that are made up, page by page, as S3 does."""

    num_files: int = 0
    page_s: float = 0.0
    num_added: int = 0
    """Files by which it has grown, among the others by name."""

    def walk(self) -> Iterator[FoundFile]:
        """List all keys in order."""
        for name, size in walk_pages(self.pages):
            yield FoundFile(name, size)

    def pages(self, prefix: str, deep: bool) -> Iterator[Page]:
        """Wait as for a store, then give a page."""
        if not deep:
            time.sleep(self.page_s)
            yield Page(files=[], folders=[f"{number:03d}/" for number in range(STORE_FOLDERS)])
            return
        names = self._names()
        while some := list(islice(names, PAGE_KEYS)):
            time.sleep(self.page_s)
            yield Page(files=[(f"{prefix}{name}.jpg", 31_000) for name in some])

    def _names(self) -> Iterator[str]:
        """Give the names in a folder, in order; those added lie behind every few of the others."""
        count, added = self.num_files // STORE_FOLDERS, self.num_added // STORE_FOLDERS
        for number in range(count):
            yield f"{number:032d}"
            if added and number % (count // added) == 0:
                yield f"{number:032d}_new"


def make_lmdb(folder: Path, count: int) -> None:
    """Write random keys in order, as `mdb_load` leaves them: full pages."""
    import lmdb

    drawn = np.random.default_rng(0).bytes(20 * count)
    keys = np.sort(np.frombuffer(drawn, "S20"))
    with lmdb.open(str(folder), map_size=256 * count + (1 << 24), sync=False) as environment:
        for start in range(0, count, 500_000):
            with environment.begin(write=True) as transaction:
                for key in keys[start : start + 500_000].tolist():
                    hexadecimal = key.ljust(20, b"\0").hex().encode()
                    transaction.put(hexadecimal, b"\xff\xd8\xff" + bytes(13), append=True)
        environment.sync(True)


def make_files(folder: Path, count: int, num_folders: int) -> None:
    """Write empty files."""
    for number in range(num_folders):
        inner = folder / f"{number:04d}" if num_folders > 1 else folder
        inner.mkdir(parents=True, exist_ok=True)
        for index in range(count // num_folders):
            os.close(os.open(inner / f"{index:09d}.jpg", os.O_CREAT | os.O_WRONLY))


def plan(case: str, folder: Path, arguments: argparse.Namespace) -> dict[str, float | int | str]:
    """Plan one collection in this process."""
    run = RunFolder(str(folder / f"run-{case}"))
    before_mb = peak_mb()
    started, processor_started = time.perf_counter(), time.process_time()
    source = _source(case, folder, arguments)
    num_shards = 0
    if case == "listing":
        num_images = sum(1 for _ in source.entries())
    else:
        made = (
            extend_plan(run, source)[0] if case == "extend" else write_plan(run, source, SETTINGS)
        )
        num_images, num_shards = made.num_images, made.num_shards
    seconds = time.perf_counter() - started
    processor_seconds = time.process_time() - processor_started
    planned_mb = peak_mb()
    return {
        "case": case,
        "images": num_images,
        "shards": num_shards,
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor_seconds, 2),
        "peak_mb": round(planned_mb, 1),
        "imports_mb": round(before_mb, 1),
    }


def _source(case: str, folder: Path, arguments: argparse.Namespace) -> Source:
    if case not in LISTED:
        return open_source(str(folder / case))
    tenth, page_s = arguments.files // 10, arguments.page_ms / 1000
    if case == "addition":
        return FolderSource(PagedFolder(URL, tenth, page_s))
    return FolderSource(PagedFolder(URL, arguments.files, page_s, 0 if case == "store" else tenth))


def plan_before(folder: Path, arguments: argparse.Namespace) -> None:
    """Write the plan that is to be extended."""
    source = FolderSource(PagedFolder(URL, arguments.files))
    write_plan(RunFolder(str(folder / "run-extend")), source, SETTINGS)


def main() -> None:
    """Make each collection, plan it in a child process, delete it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keys", type=int, default=5_520_753)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--page-ms", type=float, default=50)
    parser.add_argument("--cases", nargs="+", default=CASES, choices=CASES)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", choices=CASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(plan(arguments.only, arguments.folder, arguments)))
        return
    found = []
    for case in arguments.cases:
        made = arguments.folder / case
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(arguments.folder / f"run-{case}", ignore_errors=True)
        if case == "lmdb":
            made.mkdir(parents=True)
            make_lmdb(made, arguments.keys)
        elif case == "extend":
            plan_before(arguments.folder, arguments)
        elif case not in LISTED:
            make_files(made, arguments.files, 1000 if case == "tree" else 1)
        command = [sys.executable, "-m", "benchmarks.plan", *sys.argv[1:], "--only", case]
        found.append(json.loads(subprocess.check_output(command)))
        print(json.dumps(found[-1]), flush=True)
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(arguments.folder / f"run-{case}", ignore_errors=True)
    of = {case["case"]: case for case in found}
    if {"extend", "anew"} <= of.keys():
        ratios = {
            name: round(of["extend"][name] / of["anew"][name], 3)
            for name in ("seconds", "processor_seconds", "peak_mb")
        }
        found.append({"case": "extend / anew", **ratios})
    if {"extend", "addition", "listing"} <= of.keys():
        needed = sum(of[name]["processor_seconds"] for name in ("addition", "listing"))
        ratio = round(of["extend"]["processor_seconds"] / needed, 3)
        found.append({"case": "extend / (addition + listing)", "processor_seconds": ratio})
    report = {
        "program": " ".join(["benchmarks.plan", *(Path(word).name for word in sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "page_ms": arguments.page_ms,
        "cases": found,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
