"""`apply` against the network alone: what reading, decoding, encoding and committing cost.

    python -m benchmarks.apply MODEL PHOTOS [--count 5000] [--rounds 3] [--json OUT.json]

Each round runs `iem-batch apply MODEL PHOTOS OUT --local` over the first COUNT photos and over one,
whose time is taken off as that of starting, and the network over the squares of 512 of them, all
with as many threads as there are processors. A share is formed within a round, by processor time
and by the clock; the median of the rounds counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import iem_batch
from iem_batch.segnet.prediction import predict_probability

SQUARES = 512


def clock(call: Callable[[], object]) -> tuple[float, float]:
    """Measure a call: seconds, and seconds of processors, those of its child processes too."""
    before, started = os.times(), time.perf_counter()
    call()
    after, seconds = os.times(), time.perf_counter() - started
    return seconds, sum(after[:4]) - sum(before[:4])


def apply(model: str, photos: Path, out: Path) -> None:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "iem_batch", "apply", model, str(photos), str(out), "--local"]
    subprocess.run(command, check=True, capture_output=True)


def linked(files: list[Path], folder: Path) -> Path:
    """Make a folder of links to photos."""
    folder.mkdir()
    for file in files:
        (folder / file.name).symlink_to(file.resolve())
    return folder


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    files = sorted(args.photos.iterdir())[: args.count]
    model = iem_batch.load(args.model)
    square_BSS3 = model.predict(files[:SQUARES]).images
    threads = os.cpu_count() or 1
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        many, one = linked(files, work / "many"), linked(files[:1], work / "one")
        for number in range(args.rounds):
            whole = clock(lambda n=number: apply(args.model, many, work / f"many-{n}"))
            start = clock(lambda n=number: apply(args.model, one, work / f"one-{n}"))
            network = clock(
                lambda: predict_probability(model.network, square_BSS3, num_threads=threads)
            )
            ms = [1000 * (a - b) / (len(files) - 1) for a, b in zip(whole, start, strict=True)]
            alone = [1000 * seconds / len(square_BSS3) for seconds in network]
            rounds.append(
                {
                    "images/s of apply": 1000 / ms[0],
                    "ms of a processor, apply": ms[1],
                    "ms of a processor, network alone": alone[1],
                    "share of the network alone, by processor time": alone[1] / ms[1],
                    "share of the network alone, by the clock": alone[0] / ms[0],
                }
            )
            print(json.dumps(rounds[-1]), flush=True)
    medians = {key: statistics.median(found[key] for found in rounds) for key in rounds[0]}
    record = {
        "command": f"python -m benchmarks.apply MODEL PHOTOS --count {len(files)}",
        "machine": f"{os.cpu_count()} CPUs, load {np.round(os.getloadavg(), 1).tolist()}",
        "median": medians,
        "rounds": rounds,
    }
    print(json.dumps(record, indent=1))
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
