"""The paper's tables on a set of photographs with truth: methods, first masks, ablations.

    python benchmarks/tables.py SET [--quote flowers102] [--run RUN] [--work DIR] [--out FOLDER]
    python benchmarks/tables.py CUB_200_2011 --format cub200 --quote cub200
    python benchmarks/tables.py FLOWERS --format flowers102 --quote flowers102

SET is a folder with images/ and masks/ (and ignore/, whose white pixels count nowhere), or a data
set as its authors distribute it, of which the test images are scored; for LSUN Car it has images/,
and --truth is the COCO file of what a detector found.

Everything runs through `iem-batch`: IEM with the paper's settings from the squares of side 44, 78
and 92, the ablations of its Table 4, GrabCut, Otsu and the squares. RUN is a finished run whose
SegNet is scored beside them. Markdown and JSON go to FOLDER as tables_SET_DATE. Runs in DIR are
resumed.

All differences are paired by image; intervals are of the bootstrap over images (95 %).
"""

import argparse
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
from iem_batch.metrics import METRICS
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.bootstrap import interval
from iem_batch.steps.evaluate.compare import read_scores
from iem_batch.steps.evaluate.evaluation import Evaluation, read_evaluation
from iem_batch.steps.evaluate.published import PUBLISHED_ABLATIONS, SET_LABELS, quoted_rows
from iem_batch.steps.evaluate.table import METRIC_LABELS, label
from iem_batch.steps.evaluate.truth.sets import SOURCES
from iem_batch.steps.fuse.choose import dataset_side

SIDES = (44, 78, 92)
RESAMPLES, SEED = 2000, 0
ABLATIONS = {
    "lambda_0": ("lambda = 0", ["--iem.diversity_weight=0"]),
    "no_smoothing": ("no smoothing", ["--iem.smoothing=false"]),
    "unrestricted": ("not restricted to the boundary", ["--iem.boundary_only=false"]),
}
COLUMNS = {
    "best polarity": [f"best_{name}" for name in METRICS],
    "as labelled": list(METRICS),
}

Scores = dict[str, NDArray[np.float64]]
"""image_id -> scores, by the columns of `EVERY`."""

EVERY = [name for names in COLUMNS.values() for name in names]
BEST_IOU = EVERY.index("best_iou")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A mean in percent and its interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ({self.low:.1f} to {self.high:.1f})"

    def difference(self) -> str:
        """Write it with its sign."""
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method of the table."""

    name: str
    scores: Scores
    is_baseline: bool = False

    def figures(self) -> dict[str, Figure]:
        """Average every column."""
        return figures(np.stack(list(self.scores.values())))


def figures(score_BM: NDArray[np.float64]) -> dict[str, Figure]:
    """Average columns over images."""
    ends_2M = interval(score_BM, RESAMPLES, SEED)
    values = zip(EVERY, score_BM.mean(axis=0), *ends_2M, strict=True)
    return {
        name: Figure(mean=100 * mean, low=100 * low, high=100 * high)
        for name, mean, low, high in values
    }


def difference(row: Row, base: Row) -> Figure:
    """Subtract the IoU (best polarity) of two methods on the images both have."""
    common = sorted(row.scores.keys() & base.scores.keys())
    return figures(np.stack([row.scores[i] - base.scores[i] for i in common]))["best_iou"]


def run_iem(
    args: argparse.Namespace, name: str, sides: Iterable[int], options: Iterable[str]
) -> RunFolder:
    """Segment the set with the paper's settings and some options."""
    run = args.work / args.set.name / name
    shares = f"--segment.init_shares={[side / 128 for side in sides]}"
    images = args.set / SOURCES.get(args.format, "images")
    iem_batch(["segment", str(images), str(run), "--local", "--paper", shares, *options])
    return RunFolder(str(run))


def fused_scores(args: argparse.Namespace, run: RunFolder, method: str) -> dict[str, Scores]:
    """Make one mask of each image by a method of `fuse`, and score it."""
    iem_batch(["fuse", run.url, "--local", "--overwrite", f"--fuse.method={method}"])
    evaluate(args, run)
    return read_scores(run, EVERY)


def evaluate(args: argparse.Namespace, run: RunFolder) -> None:
    """Evaluate a run against the truth of the set."""
    url = args.truth or (args.set if args.format in SOURCES else args.set / "masks")
    truth = [f"--truth={url}", f"--evaluate.format={args.format}", "--evaluate.resamples=0"]
    if (args.set / "ignore").is_dir():
        truth.append(f"--ignore={args.set / 'ignore'}")
    iem_batch(["evaluate", run.url, *truth])


def found(run: RunFolder) -> Evaluation:
    """Read what `evaluate` wrote."""
    evaluation = read_evaluation(run)
    assert evaluation is not None
    return evaluation


def of_side(args: argparse.Namespace, key: str, side: int, options: Iterable[str]) -> Scores:
    """Score IEM from one first mask."""
    run = run_iem(args, f"{key}_{side}", [side], options)
    return fused_scores(args, run, "dataset")["fuse"]


def method_rows(args: argparse.Namespace) -> tuple[list[Row], int]:
    """Score everything but the ablations; also returns the first mask chosen for the set."""
    run = run_iem(args, "paper", SIDES, [])
    alone = {side: of_side(args, "paper", side, []) for side in SIDES}
    rows = [Row(name=f"IEM, first mask {side}", scores=alone[side]) for side in SIDES]
    side = dataset_side(require_summary(run, "segment"))
    for method, name in (
        ("image", "first mask of highest error per image"),
        ("vote", "vote of the three"),
        ("cut", "graph cut from their vote"),
        ("dataset", f"first mask of highest error over the set ({side})"),
    ):
        scores = fused_scores(args, run, method)
        rows.append(Row(name=f"IEM, {name}", scores=scores["fuse"]))
    rows += segnet_rows(args)
    for name in BASELINES:
        rows.append(Row(name=label(name), scores=scores[name], is_baseline=True))
    oracle = {i: np.max([alone[s][i] for s in SIDES], axis=0) for i in alone[SIDES[0]]}
    rows.append(Row(name="best of the three first masks, chosen by the truth", scores=oracle))
    return rows, side


def segnet_rows(args: argparse.Namespace) -> Iterator[Row]:
    """Score SegNet of a run that was made before."""
    if args.run is not None:
        run = RunFolder(str(args.run))
        evaluate(args, run)
        scores = read_scores(run, EVERY)
        for name in ("predict", "refine"):
            if name in scores:
                yield Row(name=label(name), scores=scores[name])


def ablation_rows(args: argparse.Namespace) -> Iterator[tuple[str, int, Row, Row]]:
    """Give each ablation and first mask, and what it is an ablation of."""
    for key, (name, options) in ABLATIONS.items():
        for side in SIDES:
            base = Row(name="default", scores=of_side(args, "paper", side, []))
            yield key, side, Row(name=name, scores=of_side(args, key, side, options)), base


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a Markdown table."""
    lines = [list(head), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def method_tables(rows: list[Row], args: argparse.Namespace) -> Iterator[str]:
    """Write Tables 1 to 3 in both polarities; published figures are of the better polarity."""
    for title, columns in COLUMNS.items():
        yield f"\n### Methods, {title}\n"
        lines = []
        for row in rows:
            values = row.figures()
            lines.append([row.name, *(str(values[name]) for name in columns)])
        for name, metrics in quoted_rows(tuple(args.quote), args.format):
            if title == "best polarity":
                cells = (f"*{metrics[m]:.1f}*" if m in metrics else "-" for m in METRICS)
                lines.append([f"*{name}*", *cells])
        yield table(["", *METRIC_LABELS.values()], lines)


def losses(rows: list[Row]) -> Iterator[str]:
    """Say where IEM is below a baseline."""
    yield "\n### IEM against each baseline: difference in IoU (best polarity)\n"
    ours = [row for row in rows if row.name.startswith("IEM")]
    lines = []
    for base in (row for row in rows if row.is_baseline):
        values = [difference(row, base) for row in ours]
        cells = [f"**{v.difference()}**" if v.mean < 0 else v.difference() for v in values]
        lines.append([base.name, *cells])
    yield table(["", *(row.name for row in ours)], lines)
    yield "\nBold: IEM loses."


def ablation_tables(ablations: list[tuple[str, int, Row, Row]], quote: list[str]) -> Iterator[str]:
    """Write Table 4 for each first mask."""
    yield "\n### Ablations, IoU (best polarity), and difference from the default\n"
    lines = []
    for key, (name, _) in ABLATIONS.items():
        cells = []
        for side in SIDES:
            row, base = next((r, b) for k, s, r, b in ablations if (k, s) == (key, side))
            mean = row.figures()["best_iou"].mean
            cells.append(f"{mean:.1f}, {difference(row, base).difference()}")
        for data_set in quote:
            if data_set in PUBLISHED_ABLATIONS:
                figure = PUBLISHED_ABLATIONS[data_set]
                change = figure[key] - figure["default"]
                cells.append(f"*{figure[key]:.1f}, {change:+.1f}*")
        lines.append([name, *cells])
    quoted = [f"*quoted: {SET_LABELS[q]}*" for q in quote if q in PUBLISHED_ABLATIONS]
    yield table(["", *(f"first mask {side}" for side in SIDES), *quoted], lines)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="folder with images/ and masks/")
    parser.add_argument("--format", default="auto", help="as --evaluate.format; auto: masks/")
    parser.add_argument("--truth", type=Path, help="where the truth is not in the set")
    parser.add_argument("--run", type=Path, help="finished run of this set, for SegNet's rows")
    parser.add_argument("--quote", nargs="*", default=[], choices=list(SET_LABELS))
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "iem_tables")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Run everything and write the tables."""
    args = parse()
    rows, side = method_rows(args)
    ablations = list(ablation_rows(args))
    paper = args.work / args.set.name / "paper"
    evaluation = found(RunFolder(str(paper)))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    date = time.strftime("%Y-%m-%d")
    text = [
        f"## {args.set.name}: {evaluation.num_images:,} photographs with truth\n",
        f"{date}, commit {commit}, `benchmarks/tables.py`. 128 x 128, NEAREST, 150 iterations, "
        f"sigma 5, lambda 0.001. First mask of highest mean error over the set: {side}. Means over "
        "images in percent with 95 % intervals of the bootstrap over images; differences are "
        "paired by image.",
        *method_tables(rows, args),
        *losses(rows),
        *ablation_tables(ablations, args.quote),
    ]
    record = {
        "date": date,
        "commit": commit,
        "set": args.set.name,
        "num_images": evaluation.num_images,
        "init_side": side,
        "methods": {
            row.name: {name: asdict(value) for name, value in row.figures().items()} for row in rows
        },
        "ablations": {
            key: {
                str(s): {
                    "best_iou": asdict(row.figures()["best_iou"]),
                    "difference": asdict(difference(row, base)),
                }
                for k, s, row, base in ablations
                if k == key
            }
            for key in ABLATIONS
        },
    }
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"tables_{args.set.name}_{date}"
    stem.with_suffix(".md").write_text("\n".join(text) + "\n")
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
