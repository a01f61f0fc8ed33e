"""Throughput of each source with decoding, as a share of decoding the same bytes from memory.

    python benchmarks/sources.py PHOTOS FOLDER [--images 2000] [--rounds 5] [--json OUT.json]

The photographs in PHOTOS (repeated until there are enough) are written to FOLDER as a folder, tar,
Parquet and LMDB, read once so that no disk is measured, and then loaded shard by shard by
`load_shard`: read, decoded and brought to 128 x 128. One process, one thread; the ratio to decoding
from memory is formed of processor time within a round, and the median of the rounds is given with
the least and the greatest.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path

from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from tests import collections_of_photos as collections

SETTINGS = DecodeSettings(fit="crop", resize="nearest")
FORMS: dict[str, Callable[[Path, Mapping[str, bytes]], str]] = {
    "tar": collections.write_tar,
    "tars of 1,000": lambda root, photos: collections.write_tars(root, photos, size=1000),
    "parquet": lambda root, photos: collections.write_parquet(root, photos, 1000, 100),
    "lmdb": lambda root, photos: collections.write_lmdb(
        root / "lmdb", {name.encode(): data for name, data in photos.items()}
    ),
    "folder": collections.write_folder,
}


def load_all(run: RunFolder, url: str, num_shards: int) -> int:
    """Load all shards; returns the number of images."""
    count = 0
    for shard in range(num_shards):
        count += len(load_shard(run, shard, open_source(url), SETTINGS).image_id)
    return count


def from_memory(photos: Mapping[str, bytes]) -> int:
    """Decode all images as `load_shard` does, without reading."""
    return sum(1 for data in photos.values() if decode(data, SETTINGS).pixels.size)


def timed(work: Callable[[], int], expected: int) -> float:
    """Give the processor time of something that goes over all images."""
    started = time.process_time()
    assert work() == expected
    return time.process_time() - started


def main() -> None:
    """Write the collections and measure them in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    files = sorted(file for file in arguments.photos.iterdir() if file.is_file())
    contents = islice(cycle([file.read_bytes() for file in files]), arguments.images)
    photos = {f"{index:040x}": data for index, data in enumerate(contents)}
    named = {f"{name}.jpg": data for name, data in photos.items()}
    works: dict[str, Callable[[], int]] = {}
    for name, write in FORMS.items():
        shutil.rmtree(arguments.folder / name, ignore_errors=True)
        shutil.rmtree(arguments.folder / f"run-{name}", ignore_errors=True)
        run = RunFolder(str(arguments.folder / f"run-{name}"))
        url = write(arguments.folder / name, photos if name == "lmdb" else named)
        plan = write_plan(run, open_source(url), PlanSettings())
        works[name] = lambda run=run, plan=plan: load_all(run, plan.source_url, plan.num_shards)
        works[name]()
    shares: dict[str, list[float]] = {name: [] for name in works}
    memory_s = []
    for _ in range(arguments.rounds):
        for name, work in works.items():
            # Beside each form, so that what else the machine does meets both.
            memory_s.append(timed(lambda: from_memory(photos), len(photos)))
            shares[name].append(memory_s[-1] / timed(work, len(photos)))
    report = {
        "program": " ".join(["benchmarks/sources.py", *(Path(word).name for word in sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "images": len(photos),
        "mean_bytes": round(statistics.mean(map(len, photos.values()))),
        "memory_images_per_s": round(len(photos) / statistics.median(memory_s)),
        "share_of_memory": {
            name: {
                "median": round(statistics.median(found), 3),
                "least": round(min(found), 3),
                "greatest": round(max(found), 3),
            }
            for name, found in shares.items()
        },
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
