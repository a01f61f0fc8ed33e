"""Damages real photographs in many ways and runs the real command on them among good ones.

Each damaged file must come out either as Pillow decodes it or as a row of the quarantine, and the
good ones as if the others were not there. The files depend on the seed and the photographs alone.

    python -m benchmarks.fuzz PHOTOS --count 10000 --seed 1 --output benchmarks/results/fuzz.json

With --form the damaged files lie in an archive or a table, such as --form zip; of tables a column
is kept (plan.keep), which the fused masks must have.
"""

import argparse
import io
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.damage import base_files, write_damaged
from benchmarks.memory import peak_mb
from iem_batch.errors import ImageRejectedError
from iem_batch.images.decode import decode
from iem_batch.images.opening import formats
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from tests import collections_of_photos as collections

FORMS = {
    "folder": collections.write_folder,
    "tar": collections.write_tar,
    "packed tar": collections.write_packed_tar,
    "zip": collections.write_zip,
    "parquet": collections.write_parquet,
    "arrow": collections.write_arrow,
    "jsonl": collections.write_paths,
    "csv": collections.write_csv,
    "lists": collections.write_lists,
}
KEEP = {"parquet": "label", "arrow": "label", "jsonl": "path", "csv": "path", "lists": "first"}
"""Form -> a column that is kept (plan.keep)."""
SIZE_PX = 32
POLICIES = frozenset({"too_large", "extreme_aspect", "unsupported_mode", "unsupported_format"})
"""Reasons to reject what Pillow might decode."""


@dataclass
class Outcome:
    """What became of the files."""

    kinds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    decoded: int = 0
    rejected: int = 0
    compared: int = 0
    """Decoded ones whose pixels were compared with Pillow's own."""
    faults: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    """Of the program that did all: interpreter, torch, pixels and tables."""
    seconds: float = 0.0


def segment(source: str, run: Path, *flags: str) -> tuple[int, float]:
    """Run the command in a process of its own; returns its status and peak memory in MB."""
    settings = [f"--decode.size_px={SIZE_PX}", "--decode.fit=crop", "--decode.resize=nearest"]
    settings += ["--iem.iterations=1", "--segment.init_shares=[0.5]", *flags]
    return command("segment", source, str(run), "--segment.backend=torch", *settings)


def command(*arguments: str) -> tuple[int, float]:
    """Run a command; see `segment`."""
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", *arguments, "--local"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    return process.returncode, float(process.stdout.split()[-1])


def rows_of(
    run: RunFolder, folder: str, names: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Read the rows of a folder by the names of the files; an id that comes twice is an error."""
    rows = {}
    for name in run.names(folder):
        for row in run.read_table(f"{folder}/{name}").to_pylist():
            image_id = row.pop("image_id")
            file = image_id if names is None else names.get(image_id, image_id)
            assert file not in rows, row
            rows[file] = row
    return rows


def _not_kept(
    run: RunFolder, keep: str, masks: Collection[str], names: Mapping[str, str]
) -> list[str]:
    """Fuse the masks, and say which of them lack what their source has in a column."""
    status, _ = command("fuse", run.url)
    if status != 0:
        return [f"fuse ended with {status}"]
    fused = rows_of(run, "fuse", names)
    ids = {name: image_id for image_id, name in names.items()}
    right = {
        "label": lambda name: 0,
        "path": lambda name: f"folder/{name}",
        "first": lambda name: ids[name].rpartition("/")[0],
    }[keep]
    return [
        f"{name} has lost its {keep}"
        for name in masks
        if name not in fused or fused[name][keep] != right(name)
    ]


def fuzz(
    folder: Path,
    base: Sequence[tuple[str, bytes]],
    count: int,
    rng: random.Random,
    form: str = "folder",
) -> Outcome:
    """Damage files, run the command on them among good ones, and judge what comes out."""
    outcome, began = Outcome(), time.monotonic()
    source, alone = folder / "photos", folder / "good"
    outcome.kinds = write_damaged(source, base, count, rng)
    alone.mkdir()
    for index, (extension, data) in enumerate(base):
        # Among the others in the order of names, so that each shard has some.
        name = f"{index * max(1, count // len(base)):05d}-good.{extension}"
        (source / name).write_bytes(data)
        (alone / name).write_bytes(data)
    files = {path.name: path.read_bytes() for path in sorted(source.iterdir())}
    given = FORMS[form](folder / "given", files)
    keep = KEEP.get(form)
    status, outcome.peak_mb = segment(given, folder / "run", *(["--keep", keep] if keep else []))
    if status != 0 or segment(str(alone), folder / "expected")[0] != 0:
        outcome.faults.append(f"the command ended with {status}")
        return outcome
    expected = rows_of(RunFolder(str(folder / "expected")), "segment")
    run = RunFolder(str(folder / "run"))
    names = collections.ids_in_lists(files) if form == "lists" else {name: name for name in files}
    masks, quarantine = rows_of(run, "segment", names), rows_of(run, "quarantine", names)
    _judge(source, masks, quarantine, expected, outcome)
    if keep:
        outcome.faults += _not_kept(run, keep, masks.keys(), names)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _judge(
    source: Path,
    masks: dict[str, dict[str, Any]],
    quarantine: dict[str, dict[str, Any]],
    expected: dict[str, dict[str, Any]],
    outcome: Outcome,
) -> None:
    outcome.decoded, outcome.rejected = len(masks), len(quarantine)
    outcome.reasons = Counter(row["error_class"] for row in quarantine.values())
    names = {path.name for path in source.iterdir()}
    for name in sorted(names ^ (masks.keys() | quarantine.keys())):
        outcome.faults.append(f"{name} has no row, or is none of the files")
    for name, row in masks.items():
        if not np.isfinite([row["error"], row["error_foreground"], row["error_background"]]).all():
            outcome.faults.append(f"{name} has an error that is no number")
    for name, row in expected.items():
        same = {key: value for key, value in masks.get(name, {}).items() if key != "uri"}
        if same != {key: value for key, value in row.items() if key != "uri"}:
            outcome.faults.append(f"{name} is good, and comes out otherwise among damaged ones")
    for name in sorted(masks.keys() | quarantine.keys()):
        fault = _against_pillow((source / name).read_bytes(), quarantine.get(name), outcome)
        if fault:
            outcome.faults.append(f"{name}: {fault}")


def _against_pillow(data: bytes, row: dict[str, Any] | None, outcome: Outcome) -> str | None:
    """Compare with Pillow by itself; returns what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if row is not None and row["error_class"] in POLICIES:
            return None
        try:
            pixels = pillow_pixels(data)
        except Exception as error:  # noqa: BLE001 - Pillow raises nearly anything
            return None if row is not None else f"Pillow cannot decode it: {error}"
        if row is not None:
            many_scans = "scans" in row["message"]
            return None if many_scans else f"Pillow decodes what was rejected: {row['message']}"
        try:
            got = decode(data, DecodeSettings(fit="crop", resize="nearest", size_px=SIZE_PX)).pixels
        except ImageRejectedError as error:
            return f"decoded in the run and rejected now: {error}"
    if pixels is not None:
        outcome.compared += 1
        if not np.array_equal(pixels, got):
            return "the pixels are not Pillow's"
    return None


def pillow_pixels(data: bytes) -> np.ndarray | None:
    """Decode by Pillow alone, as the paper preprocesses; None for modes with more to decide."""
    with Image.open(io.BytesIO(data), formats=formats()) as image:
        image.load()
        if image.mode not in ("RGB", "L") or "transparency" in image.info:
            return None
        width, height = image.size
        short = min(width, height)
        size = int(SIZE_PX * width / short), int(SIZE_PX * height / short)
        small = np.asarray(image.resize(size, Image.Resampling.NEAREST).convert("RGB"))
        left, top = (int(round((side - SIZE_PX) / 2)) for side in size)
        return small[top : top + SIZE_PX, left : left + SIZE_PX]


def main() -> None:
    """Damage so many files, and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", choices=FORMS, default="folder")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        base = base_files(options.photos, options.count // 20 + 20, rng)
        outcome = fuzz(Path(folder), base, options.count, rng, options.form)
    report = {
        "command": f"python -m benchmarks.fuzz PHOTOS --count {options.count} "
        f"--seed {options.seed} --form '{options.form}'",
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
        "good": len(base),
        **outcome.__dict__,
        "peak_mb_of_this_process": peak_mb(),
    }
    print(json.dumps(report, indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if outcome.faults else 0)


if __name__ == "__main__":
    main()
