"""Evaluations of runs written by hand."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.evaluate.evaluation import Evaluation, read_evaluation
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.fuse.settings import FuseMethod, FuseSettings
from tests.steps.hand_made import SIZE, write_shard
from tests.steps.jobs import job_at


def plan_noise(
    run: RunFolder,
    folder: Path,
    names: Sequence[str],
    shard_size: int = 100,
    width: int = SIZE,
    height: int = SIZE,
) -> None:
    """Plan photos of noise, which the baselines read."""
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name, "PNG")
    write_plan(run, open_source(str(folder)), PlanSettings(shard_size=shard_size))


def write_both(
    run: RunFolder, shard: int, rows: list[dict], rejected: list[dict] | None = None
) -> None:
    """Write one shard of segment, and the same masks as fused ones."""
    for step in ("segment", "fuse"):
        write_shard(run, step, shard, rows, rejected)


def evaluate(
    run: RunFolder,
    truth: MaskFiles,
    ignore: MaskFiles | None,
    decode: DecodeSettings,
    method: FuseMethod = "dataset",
    **settings: Any,
) -> Evaluation:
    """Do the step on a run, without baselines unless asked for; gives what it has stored."""
    options = EvaluateSettings(**{"baselines": False, **settings})
    ignore_url = None if ignore is None else ignore.url
    options = replace(options, truth=truth.url, ignore=ignore_url)
    fuse = FuseSettings(method=method)
    do(job_at(run, decode=decode, fuse=fuse, evaluate=options), "evaluate")
    found = read_evaluation(run)
    assert found is not None
    return found
