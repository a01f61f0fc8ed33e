"""Training beside what bounds it, in one run: a plain loop, one worker, the convolutions alone.

    python -m benchmarks.train [--photos FOLDER] [--images 192] [--repeats 3] [--starts 2]
        [--json OUT.json]

Everything runs on the CPU, one thread a process, on a corpus of images of 128 x 128 pixels: of
textures made here, or of the photographs of a folder. What is compared runs in turn, and a ratio is
formed of what ran one after the other; the figures are medians of such ratios, so that whatever
else the machine does meets both sides. Measured are

- our loop, that is `train_here` from export/ on the disk, beside a plain loop of PyTorch on the
  same network, optimizer, loss and number format, with all tensors in memory. By the paper's recipe
  both do the same work on the same images in the same order, so their losses must be the same. By
  the default one only ours changes the images and keeps a mean of the weights, so that ratio is
  what this costs besides. The first epoch, which reads the corpus, counts for itself;
- Ray Train with two workers of one thread on two processors, beside one of one thread on one, from
  the seconds in the records of the epochs after the first; and, as what the machine allows, two
  processes that train on their own at the same time beside one of them alone;
- a step of one pass of the paper's network (forward, loss, backward, optimizer), beside forward
  and backward of its convolutions alone, each on the input and the gradient it had there;
- processes that keep the memory they free (`iem_batch.segnet.allocator`), beside others.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.train_work import (
    CPU,
    SECONDS,
    Clock,
    Figures,
    batch_of_one_pass,
    convolutions,
    plain_loop,
    recipe,
    tensors_of,
    train_alone,
    train_by_ray,
    training_on,
    write_corpus,
)
from iem_batch.run.folder import RunFolder
from iem_batch.segnet import order
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.prediction import has_fast_bf16
from iem_batch.segnet.training import EpochRecord, begin_training, train_epoch
from iem_batch.steps.train.local import train_here

Result = TypeVar("Result")


def beside_a_plain_loop(url: str, name: str, repeats: int) -> Figures:
    """Train by `train_here`, and after each epoch do it by the plain loop; in a new process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    segnet, settings = recipe(name, epochs=1 + repeats)
    work = training_on(url, segnet, settings)
    files = work.files
    data = (*tensors_of(files), segnet, settings)
    # Each shape for the first time, as torch compiles its kernels then.
    plain_loop(*data)([torch.arange(settings.images_per_pass)])
    plain_epoch = plain_loop(*data)
    ours: list[Clock] = []
    plain: list[Clock] = []
    losses: list[tuple[float, float]] = []
    started = Clock.now()

    def progress(record: EpochRecord | Collapse) -> None:
        nonlocal started
        if isinstance(record, Collapse):
            return
        ours.append(started.since())
        shares = order.batches(range(files.num_pairs), 0, record.epoch - 1, settings)
        batches = [torch.from_numpy(share.row_N) for share in shares]
        started = Clock.now()
        loss = plain_epoch(batches)
        plain.append(started.since())
        losses.append((record.loss, loss))
        started = Clock.now()  # so what `train_here` does between epochs counts as well

    train_here(work, progress)
    wall = [theirs.wall / own.wall for own, theirs in zip(ours, plain, strict=True)]
    processor = [theirs.processor / own.processor for own, theirs in zip(ours, plain, strict=True)]
    figures = {
        "ours / plain, samples/s": statistics.median(wall[1:]),
        "ours / plain, samples/s of processor time": statistics.median(processor[1:]),
        "ours / plain, samples/s, first epoch with reading the corpus": wall[0],
        "batch": settings.batch_size,
        "width": segnet.width,
        "ratios": wall[1:],
        "ratios of processor time": processor[1:],
        "losses, ours and plain": losses,
        "samples/s of ours": [files.num_pairs / epoch.wall for epoch in ours],
        "samples/s of plain": [files.num_pairs / epoch.wall for epoch in plain],
        "processors had by ours": [epoch.processor / epoch.wall for epoch in ours],
        "processors had by plain": [epoch.processor / epoch.wall for epoch in plain],
    }
    if name == "paper":
        difference = max(abs(own / theirs - 1) for own, theirs in losses)
        figures["largest relative difference of the losses of an epoch"] = difference
    return figures


def two_workers_beside_one(corpus: Path, starts: int, repeats: int) -> Figures:
    """Train with one worker and with two, in turn, each time on a new Ray."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    one, two = list[Figures](), list[Figures]()
    for start in range(starts):
        for runs, used in ((one, [cores[start % 2]]), (two, cores)):
            url = corpus.with_name(f"ray{start}_{len(used)}")
            shutil.copytree(corpus, url)
            runs.append(in_new_process(train_by_ray, str(url), used, cores))
    ratios = [
        slow / quick
        for alone, together in zip(one, two, strict=True)
        for slow, quick in zip(alone[SECONDS][1:], together[SECONDS][1:], strict=True)
    ]
    losses = zip(*(run["losses"] for run in one + two), strict=True)
    allowed = two_processes_beside_one(repeats)
    return {
        "two workers / one, samples/s": statistics.median(ratios),
        "two processes that train on their own / one": statistics.median(allowed),
        "largest relative difference of the losses of an epoch": max(
            max(of_epoch) / min(of_epoch) - 1 for of_epoch in losses
        ),
        "ratios": ratios,
        "ratios of processes on their own": allowed,
        "one worker": one,
        "two workers": two,
    }


def two_processes_beside_one(repeats: int) -> list[float]:
    """Train in two processes at once that share nothing, and in one of them alone, in turn."""
    ratios = []
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(train_alone, [True] * 2, [1] * 2))  # the processes have started
        for _ in range(repeats):
            alone = pool.submit(train_alone, True).result()
            both = list(pool.map(train_alone, [True] * 2))
            ratios.append(sum(result["images/s"] for result in both) / alone["images/s"])
    return ratios


def keeping_memory(repeats: int) -> Figures:
    """Train with our setting of the allocator and without, in turn, in new processes."""
    kept, freed = [], []
    for _ in range(repeats):
        freed.append(in_new_process(train_alone, False))
        kept.append(in_new_process(train_alone, True))
    ratios = [own["images/s"] / theirs["images/s"] for own, theirs in zip(kept, freed, strict=True)]
    faults = "page faults an image"
    return {
        "kept / freed, images/s": statistics.median(ratios),
        f"{faults}, kept": statistics.median(result[faults] for result in kept),
        f"{faults}, freed": statistics.median(result[faults] for result in freed),
        "ratios": ratios,
        "kept": kept,
        "freed": freed,
    }


def step_beside_convolutions(repeats: int) -> Figures:
    """Do a step, then each of its convolutions alone, so many times; in a new process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    segnet, settings = recipe("paper")
    training, batch = begin_training(segnet, settings, CPU), batch_of_one_pass(settings)
    calls = convolutions(training.model, batch, settings)
    steps, alone = list[float](), {name: list[float]() for name in calls}
    for _ in range(1 + repeats):
        started = time.monotonic()
        train_epoch(training, [batch])
        steps.append(time.monotonic() - started)
        for name, call in calls.items():
            started = time.monotonic()
            call()
            alone[name].append(time.monotonic() - started)
    sums = [sum(times) for times in zip(*alone.values(), strict=True)]
    ratios = [step / convs for step, convs in zip(steps[1:], sums[1:], strict=True)]
    return {
        "step / its convolutions": statistics.median(ratios),
        "ratios": ratios,
        "ms of a step": [1000 * step for step in steps[1:]],
        "ms of its convolutions": [1000 * convs for convs in sums[1:]],
        "median ms of each convolution": {
            name: 1000 * statistics.median(times[1:]) for name, times in alone.items()
        },
    }


def in_new_process(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a process that has done nothing before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--starts", type=int, default=2, help="of Ray, which takes half a minute")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    started, load = time.monotonic(), os.getloadavg()[0]
    parts: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        write_corpus(RunFolder(str(corpus)), options.images, options.photos)
        for name in ("paper", "default"):
            url = shutil.copytree(corpus, Path(folder, name))
            parts[f"loop, {name}"] = in_new_process(
                beside_a_plain_loop, str(url), name, options.repeats
            )
        parts["workers"] = two_workers_beside_one(corpus, options.starts, options.repeats)
    parts["convolutions"] = in_new_process(step_beside_convolutions, 3 * options.repeats)
    parts["memory"] = keeping_memory(options.repeats)
    for part, figures in parts.items():
        for figure, value in figures.items():
            if isinstance(value, float):
                print(f"{part}: {figure}: {value:.4g}")
    results = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{'bf16' if has_fast_bf16(CPU) else 'fp32'}",
        "images": options.images,
        "load average before": load,
        "seconds in all": time.monotonic() - started,
        **parts,
    }
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
