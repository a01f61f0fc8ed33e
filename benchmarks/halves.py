"""Labels, SegNet and SegNet + cut by the defaults alone, and the network on photos it never saw.

    python -m benchmarks.halves SET... [--seeds 0 1 2] [--work DIR] [--out FOLDER]

SET is a folder with images/ and masks/ (and ignore/, whose white pixels count nowhere). Each seed
is one `iem-batch run` on the tuned half of the set, see `benchmarks.tables`, and one `iem-batch
apply --apply.refine=true` of its network to the other half. What is done already in DIR is not
done again. Markdown and JSON go to FOLDER as halves_DATE.

Foreground IoU as labelled over whole photos, in percent: the mean over photos, with the standard
deviation over seeds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.tables import is_tuned
from iem_batch.images.geometry import FOREGROUND, VOID
from iem_batch.images.png import decode_mask
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.open import open_masks
from iem_batch.metrics import as_labelled, confusion
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.compare import read_scores
from iem_batch.steps.evaluate.settings import EvaluateSettings

COLUMNS = {"fuse": "labels", "predict": "SegNet", "refine": "SegNet + cut"}
OTHER = "other half: SegNet + cut"


def halves(folder: Path, work: Path) -> tuple[Path, Path]:
    """Link the photographs with truth into a folder for each half, the tuned one first."""
    made = work / "tuned", work / "other"
    stems = {path.stem for path in (folder / "masks").iterdir()}
    for half in made:
        half.mkdir(parents=True, exist_ok=True)
    for photo in (folder / "images").iterdir():
        link = made[not is_tuned(photo.name)] / photo.name
        if photo.stem in stems and not link.is_symlink():
            link.symlink_to(photo.resolve())
    return made


def measure(folder: Path, work: Path, seed: int) -> dict[str, float]:
    """Train on one half and measure both."""
    tuned, other = halves(folder, work)
    run, out = work / f"run-{seed}", work / f"apply-{seed}"
    truth = [f"--truth={folder / 'masks'}", "--evaluate.baselines=false"]
    if (folder / "ignore").is_dir():
        truth.append(f"--ignore={folder / 'ignore'}")
    iem_batch("run", tuned, run, f"--train.seed={seed}", *truth)
    iem_batch("apply", run, other, out, "--apply.refine=true")
    scores = read_scores(RunFolder(str(run)), ["iou"])
    found = {title: mean(row[0] for row in scores[m].values()) for m, title in COLUMNS.items()}
    return found | {OTHER: mean(applied(folder, RunFolder(str(out))))}


def iem_batch(*arguments: object) -> None:
    """Run the command line in a process of its own."""
    words = [str(argument) for argument in arguments]
    command = [sys.executable, "-m", "iem_batch", *words, "--local"]
    subprocess.run(command, check=True, capture_output=True)


def applied(folder: Path, out: RunFolder) -> Iterator[float]:
    """Score what `apply` made, at the size of the photos."""
    of_set = [
        open_masks(str(folder / name), EvaluateSettings(), DecodeSettings())
        for name in ("masks", "ignore")
        if (folder / name).is_dir()
    ]
    for name in out.names(""):
        for row in out.read_table(name).to_pylist():
            size = row["width"], row["height"]
            label_HW, *further = (truth.read(row["image_id"], *size) for truth in of_set)
            ignore_HW = np.any([label_HW == VOID, *(each == FOREGROUND for each in further)], 0)
            mask_HW = decode_mask(row["photo_mask"]["bytes"])
            counts = confusion(mask_HW[None], (label_HW == FOREGROUND)[None], ignore_HW[None])
            yield float(as_labelled(counts)[0, 1])


def mean(values: Iterator[float]) -> float:
    """Average, in percent."""
    return 100 * float(np.mean(list(values)))


def line(name: str, seeds: list[dict[str, float]]) -> str:
    """Write the row of a set in Markdown."""
    cells = []
    for title in seeds[0]:
        values = [seed[title] for seed in seeds]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.1f}{spread}")
    return f"| {' | '.join([name, *cells, str(len(seeds))])} |"


def main() -> None:
    """Measure every set and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "iem_halves")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    titles = ["", *COLUMNS.values(), OTHER, "seeds"]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    sets: dict[str, list[dict[str, float]]] = {}
    for folder in args.sets:
        for seed in args.seeds:
            found = measure(folder, args.work / folder.name, seed)
            sets.setdefault(folder.name, []).append(found)
            print(folder.name, seed, found, flush=True)
        lines.append(line(folder.name, sets[folder.name]))
        stem = args.out / f"halves_{time.strftime('%Y-%m-%d')}"
        stem.with_suffix(".md").write_text("\n".join(lines) + "\n")
        record = {"protocol": __doc__[__doc__.index("Foreground") :], "sets": sets}
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
