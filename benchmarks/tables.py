"""What each part of the default gains over the paper, on photographs with truth, beside baselines.

    python benchmarks/tables.py SET... [--work DIR] [--out FOLDER]

SET is a folder with images/ and masks/ (and ignore/, whose white pixels count nowhere). Every rung
of `LADDER` is a run of `iem-batch` over all its photographs; runs in DIR are resumed. Markdown and
JSON go to FOLDER as tables_DATE.

Foreground IoU as labelled, in percent, mean over photographs, with 95 % intervals of the bootstrap
over photographs; differences are paired. `photo`: masks brought to the photo's own size, and what
the engine did not see is background. `engine`: the truth brought to the engine's square instead.
Settings were chosen on the tuned half of each set: the photographs whose stem has an MD5 digest
with an even first byte.
"""

import argparse
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iem_batch.cli import main as iem_batch
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import interval
from iem_batch.steps.evaluate.compare import read_scores
from iem_batch.steps.evaluate.table import label

RESAMPLES, SEED = 2000, 0
SQUASH = ["--paper", "--decode.fit=squash", "--decode.resize=antialias"]
SHARES = [0.25, 0.34, 0.47, 0.61, 0.72, 0.84]
SIX = [*SQUASH, f"--segment.init_shares={SHARES}"]
WHITENED = [*SIX, "--iem.colors=whitened"]
LADDER = {
    "paper": (["--paper"], "dataset"),
    "+ whole photo": (SQUASH, "dataset"),
    "+ vote of six first masks": (SIX, "vote"),
    "+ whitened colours": (WHITENED, "vote"),
    "+ lambda 0.0005": ([], "vote"),
    "+ graph cut (the default)": ([], "cut"),
}
"""Name of a rung -> settings of its segment, method of its fuse; each adds one part."""

DEFAULT = list(LADDER)[-1]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean in percent and its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method on one set, image_id -> IoU, by the protocol."""

    name: str
    photo: dict[str, float]
    engine: dict[str, float] | None = None

    def figures(self, base: "Row") -> dict[str, Figure | None]:
        """Average each column of the table.

        Args:
            base: what is subtracted in the last one.
        """
        tuned = {i: iou for i, iou in self.photo.items() if is_tuned(i)}
        held_out = {i: iou for i, iou in self.photo.items() if not is_tuned(i)}
        difference = {i: base.photo[i] - iou for i, iou in self.photo.items()}
        return {
            "all": figure(self.photo.values()),
            "tuned half": figure(tuned.values()),
            "held-out half": figure(held_out.values()),
            "engine's square": None if self.engine is None else figure(self.engine.values()),
            "default minus this": figure(difference.values()),
        }


def is_tuned(image_id: str) -> bool:
    """Say whether settings may have been chosen on a photograph."""
    return hashlib.md5(Path(image_id).stem.encode()).digest()[0] % 2 == 0


def figure(values: Iterable[float]) -> Figure:
    """Average and resample."""
    value_B1: NDArray[np.float64] = 100 * np.array(list(values))[:, None]
    low, high = interval(value_B1, RESAMPLES, SEED)[:, 0]
    return Figure(mean=value_B1.mean(), low=low, high=high)


def scores(folder: Path, run: RunFolder, at: str, baselines: bool) -> dict[str, dict[str, float]]:
    """Evaluate a run: method -> image_id -> IoU."""
    flags = [f"--truth={folder / 'masks'}", f"--evaluate.at={at}", "--evaluate.resamples=0"]
    flags.append(f"--evaluate.baselines={baselines}".lower())
    if (folder / "ignore").is_dir():
        flags.append(f"--ignore={folder / 'ignore'}")
    iem_batch(["evaluate", run.url, *flags, "--overwrite"])
    return {
        method: {image_id: float(score[0]) for image_id, score in found.items()}
        for method, found in read_scores(run, ["iou"]).items()
    }


def rows_of(folder: Path, work: Path) -> Iterator[Row]:
    """Score every rung and every baseline on a set."""
    for name, (settings, method) in LADDER.items():
        key = hashlib.md5(" ".join(settings).encode()).hexdigest()[:8]
        run = RunFolder(str(work / folder.name / key))
        iem_batch(["segment", str(folder / "images"), run.url, "--local", *settings])
        iem_batch(["fuse", run.url, "--local", "--overwrite", f"--fuse.method={method}"])
        engine = scores(folder, run, "engine", baselines=False)
        photo = scores(folder, run, "image", baselines=name == DEFAULT)
        yield Row(name=name, photo=photo["fuse"], engine=engine["fuse"])
        if name == DEFAULT:
            for baseline in BASELINES:
                yield Row(name=label(baseline), photo=photo[baseline])


def table(name: str, rows: list[Row]) -> str:
    """Write the table of a set in Markdown."""
    default = next(row for row in rows if row.name == DEFAULT)
    columns = list(default.figures(default))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    for row in rows:
        cells = row.figures(default).values()
        lines.append([row.name, *("" if cell is None else str(cell) for cell in cells)])
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"\n## {name}: {len(default.photo):,} photographs with truth\n\n{body}\n"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "iem_tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Run everything and write the tables."""
    args = parse()
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    date = time.strftime("%Y-%m-%d")
    protocol = __doc__[__doc__.index("Foreground") :]
    text = f"# Tables, {date}, commit {commit}\n\n{protocol}"
    sets = {}
    for folder in args.sets:
        rows = list(rows_of(folder, args.work))
        default = next(row for row in rows if row.name == DEFAULT)
        text += table(folder.name, rows)
        sets[folder.name] = {
            row.name: {
                column: None if value is None else asdict(value)
                for column, value in row.figures(default).items()
            }
            for row in rows
        }
        args.out.mkdir(parents=True, exist_ok=True)
        record = {"date": date, "commit": commit, "sets": sets}
        stem = args.out / f"tables_{date}"
        stem.with_suffix(".md").write_text(text)
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
