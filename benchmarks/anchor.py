"""Speed, quality and price of mask methods under one protocol: the figures to choose a tool by.

    python -m benchmarks.anchor SET... [--limit N] [--engine PACKAGE.MODULE:CLASS [ARGS]]...

SET is a folder with images/ and masks/. The first N photographs by name are planned for every
method; those with truth are scored. ARGS are those of the engine, in JSON; `examples/` has engines,
whose weights are asked for there.

IoU: foreground as labelled, percent, at the size of the photographs, with 95 % intervals of the
bootstrap over photographs. images/s: of one processor, by the processor time of a whole command
(reading, masks, scoring and writing; for a method without a run, reading and masks). Price: of a
million photographs at that rate, at PRICE dollars for an hour of a processor (`--price`).
"""

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.tables import Figure, figure, scores
from iem_batch.cli import main as iem_batch
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.baselines import BASELINES

MILLION = 1_000_000
WITHOUT_RUN = ("grabcut_120", "squares_cut")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method on a set."""

    name: str
    iou: Figure
    num_scored: int
    images_per_s: float
    """Of one processor."""
    dollars_per_million: float


def processor_s(work: Callable[[], object]) -> float:
    """Measure the processor time of a call in this process, of all its threads."""
    before = time.process_time()
    work()
    return time.process_time() - before


def draw_all(folder: Path, limit: int, baseline: str) -> int:
    """Make the masks of a method without a run; returns of how many photographs."""
    files = sorted((folder / "images").iterdir())[:limit]
    for file in files:
        BASELINES[baseline].draw(decode(file.read_bytes(), DecodeSettings()).pixels)
    return len(files)


def masks(folder: Path, run: RunFolder, limit: int, flags: list[str]) -> None:
    """Make the masks of a run."""
    iem_batch(["segment", str(folder / "images"), run.url, "--local", f"--limit={limit}", *flags])
    iem_batch(["fuse", run.url, "--local"])


def rows_of(
    folder: Path, limit: int, price: float, methods: Mapping[str, list[str]]
) -> Iterator[Row]:
    """Measure on a set every method with a run, by name its flags, and those without one."""

    def row(name: str, iou: dict[str, float], images_per_s: float) -> Row:
        dollars = MILLION / images_per_s / 3600 * price
        return Row(
            name=name,
            iou=figure(iou.values()),
            num_scored=len(iou),
            images_per_s=images_per_s,
            dollars_per_million=dollars,
        )

    count = draw_all(folder, limit, "all_foreground")  # what is imported and compiled is so by now
    with tempfile.TemporaryDirectory() as work:
        for number, (name, flags) in enumerate(methods.items()):
            run = RunFolder(f"{work}/{number}")
            seconds = processor_s(partial(masks, folder, run, limit, flags))
            found = scores(folder, run, "image", baselines=number == 0)
            yield row(name, found["fuse"], count / seconds)
            for method in WITHOUT_RUN if number == 0 else ():
                alone = processor_s(partial(draw_all, folder, limit, method))
                yield row(BASELINES[method].label, found[method], count / alone)


def table(name: str, rows: list[Row]) -> str:
    """Write the table of a set in Markdown."""
    lines = [
        "| | IoU, percent | images/s of a processor | dollars per million |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.iou} | {row.images_per_s:.1f} | {row.dollars_per_million:.2f} |"
        for row in rows
    ]
    return (
        f"\n## {name}: {rows[0].num_scored:,} photographs with truth\n\n" + "\n".join(lines) + "\n"
    )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--limit", type=int, default=100, help="photographs of each set")
    parser.add_argument("--engine", nargs="+", action="append", default=[], help="class [args]")
    parser.add_argument("--price", type=float, default=0.04, help="dollars for a processor hour")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Measure everything and write the tables."""
    args = parse()
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    date = time.strftime("%Y-%m-%d")
    protocol = __doc__[__doc__.index("IoU:") :]
    text = f"# Methods, {date}, commit {commit}, {args.price} dollars an hour\n\n{protocol}"
    methods = {"IEM, the default": []}
    for name, *values in args.engine:
        methods[name] = ["--engine", name, *(f"--segment.engine_args={each}" for each in values)]
    sets = {}
    for folder in args.sets:
        rows = list(rows_of(folder, args.limit, args.price, methods))
        text += table(folder.name, rows)
        sets[folder.name] = [asdict(row) for row in rows]
    record = {"date": date, "commit": commit, "price": args.price, "sets": sets}
    stem = args.out / f"anchor_{date}"
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
