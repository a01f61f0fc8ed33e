"""IEM, SegNet and SegNet + IEM by the default and the paper's recipe, over several seeds.

    python benchmarks/recipes.py SET [--recipes default rounds ...] [--seeds 0 1 2] [--out FOLDER]

SET is a folder with images/, images_unlabelled/ (photographs without truth, used all the same),
masks/ and, where there is one, ignore/. Each recipe and seed is one `iem-batch run` in a process of
its own with one thread, --at-once of them at a time; `wide` is the default with the paper's width
of 128, `rounds` adds a second round to the run of `default`, the others change one setting. Truth
is used to evaluate only. Runs in --work are resumed, so a benchmark that was cut off goes on.
Markdown and JSON go to FOLDER as recipes_SET_DATE.

IoU of the foreground as labelled, in percent: mean over images, then over seeds with their standard
deviation, and what it is above IEM's of the same run. The time of a step is the median over epochs,
of a thread on a machine that does other things as well; take its ratio between recipes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_record
from iem_batch.steps.evaluate.evaluation import read_evaluation
from iem_batch.steps.topk.selection import TABLE
from iem_batch.steps.train.layout import HISTORY

RECIPES = {
    "paper": ["--paper"],
    "wide": ["--segnet.width=128"],
    "default": [],
    "rounds": ["--rounds=2"],
    "no flips": ["--train.horizontal_flips=false"],
    "no crops": ["--train.random_crops=0"],
    "no color jitter": ["--train.color_jitter=0"],
    "last weights": ["--train.average_decay=0"],
    "best half": ["--topk.fraction=0.5"],
    "best half by error": ["--topk.fraction=0.5", "--topk.by=error"],
}
TITLES = {
    "fuse": "IEM",
    "predict_round_1": "SegNet, first round",
    "predict": "SegNet",
    "refine": "SegNet, refined",
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run came to."""

    recipe: str
    seed: int
    iou: dict[str, float]
    """Method -> IoU as labelled, in percent."""
    best_iou: dict[str, float]
    """Method -> IoU of the better polarity."""
    num_images: int
    seconds_per_step: float
    steps: int


def run_folder_of(args: argparse.Namespace, recipe: str, seed: int) -> Path:
    """Say where a run lies; a second round is added to the run of the first."""
    place = "default" if recipe == "rounds" else recipe
    return args.work / args.set.name / f"{place.replace(' ', '_')}_{seed}"


def all_photos(args: argparse.Namespace) -> Path:
    """Put the photographs with and without truth into one folder."""
    photos = args.work / args.set.name / "photos"
    if not photos.exists():
        unfinished = photos.with_name("photos_unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name in ("images", "images_unlabelled"):
            shutil.copytree(args.set / name, unfinished, dirs_exist_ok=True)
        unfinished.rename(photos)
    return photos


def run(args: argparse.Namespace, photos: Path, recipe: str, seed: int) -> Outcome:
    """Do all steps in a process of one thread."""
    folder = run_folder_of(args, recipe, seed)
    folder.mkdir(parents=True, exist_ok=True)
    done = folder.parent / f"{recipe.replace(' ', '_')}_{seed}.json"
    if done.exists():  # a second round has made the evaluation anew
        return Outcome(**json.loads(done.read_text()))
    program = str(Path(sys.executable).with_name("iem-batch"))
    command = [program, "run", str(photos), str(folder), "--local"]
    command += [f"--truth={args.set / 'masks'}", f"--train.seed={seed}", *RECIPES[recipe]]
    if (args.set / "ignore").is_dir():
        command.append(f"--ignore={args.set / 'ignore'}")
    with done.with_suffix(".log").open("w") as log:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=one_thread, check=True, stdout=log, stderr=log)
    outcome = read_outcome(RunFolder(str(folder)), recipe, seed)
    done.write_text(json.dumps(vars(outcome), indent=1) + "\n")
    print(outcome, flush=True)
    return outcome


def read_outcome(folder: RunFolder, recipe: str, seed: int) -> Outcome:
    """Read what a finished run has stored."""
    evaluation = read_evaluation(folder)
    assert evaluation is not None
    # The last round, whose masks are evaluated as SegNet's.
    place = folder.below("rounds/2") if recipe == "rounds" else folder
    history, record = place.read_json(HISTORY), read_record(place, "train")
    assert record is not None
    steps = -(-place.read_table(TABLE).num_rows // record.settings["train"]["batch_size"])
    means = {scores.method: scores for scores in evaluation.methods if scores.method in TITLES}
    return Outcome(
        recipe=recipe,
        seed=seed,
        iou={name: 100 * scores.as_labelled["iou"] for name, scores in means.items()},
        best_iou={name: 100 * scores.best_polarity["iou"] for name, scores in means.items()},
        num_images=evaluation.num_images,
        seconds_per_step=statistics.median(epoch["seconds"] for epoch in history) / steps,
        steps=steps * len(history),
    )


def lines(outcomes: list[Outcome]) -> Iterator[str]:
    """Write the Markdown table."""
    yield "| recipe | masks | IoU | above IEM | better polarity | seeds | steps | s per step |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for recipe in RECIPES:
        of_recipe = [outcome for outcome in outcomes if outcome.recipe == recipe]
        for method, title in TITLES.items():
            found = [outcome for outcome in of_recipe if method in outcome.iou]
            if found:
                above = [outcome.iou[method] - outcome.iou["fuse"] for outcome in found]
                seconds = statistics.median(outcome.seconds_per_step for outcome in found)
                yield (
                    f"| {recipe} | {title} | {spread([o.iou[method] for o in found])} "
                    f"| {spread(above)} | {spread([o.best_iou[method] for o in found])} "
                    f"| {len(found)} | {found[0].steps:,} | {seconds:.2f} |"
                )


def spread(values: list[float]) -> str:
    """Write a mean and, of several values, their standard deviation."""
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{deviation}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", type=Path, help="folder with images/, images_unlabelled/, masks/")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=2, help="runs at a time")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "iem_recipes")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser.parse_args()


def main() -> None:
    """Run everything and write the table."""
    args = parse()
    photos = all_photos(args)
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(args.at_once) as threads:
        for recipe in args.recipes:  # a second round needs the first
            jobs = [threads.submit(run, args, photos, recipe, seed) for seed in args.seeds]
            outcomes += [job.result() for job in jobs]
    date = time.strftime("%Y-%m-%d")
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"recipes_{args.set.name}_{date}"
    text = [
        f"## {args.set.name}: {outcomes[0].num_images} photographs with truth, "
        f"{len(list(photos.iterdir()))} in all\n",
        *lines(outcomes),
    ]
    stem.with_suffix(".md").write_text("\n".join(text) + "\n")
    record: dict[str, Any] = {"date": date, "outcomes": [vars(outcome) for outcome in outcomes]}
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    main()
