"""Training beside what bounds it, in one run: a plain loop, one worker, the convolutions alone.

    python -m benchmarks.train [--photos FOLDER] [--images 256] [--repeats 6] [--starts 3]
        [--json OUT.json]

Everything runs on the CPU with the settings that training has by itself, one thread a process, on a
corpus of images of 128 x 128 pixels: of textures made here, or of the photographs of a folder. What
is compared runs in turn, and a ratio is formed of what ran one after the other; the figures are
medians of such ratios, so that whatever else the machine does meets both sides. Measured are

- our loop, that is `train_local` from corpus/ on the disk, beside a plain loop of PyTorch on the
  same network, optimizer, loss and number format, with all tensors in memory. Both take the same
  images in the same order from the same weights, so their losses must be the same;
- Ray Train with two workers of one thread on two processors, beside one of one thread on one, from
  the seconds in the records of the epochs; and, as what the machine allows, two processes that
  train on their own at the same time beside one of them alone;
- a step (forward, loss, backward, optimizer) of one pass, beside forward and backward of its
  convolutions alone, each on the input and the gradient that it had in the network;
- processes that keep the memory they free (`iem_batch.segnet.allocator`), beside others.

The first epoch reads the corpus, so it counts for itself.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from iem_batch.data import run_folder, schema
from iem_batch.data.decode import decode
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.settings import DecodeSettings
from iem_batch.distributed.cluster import cluster
from iem_batch.distributed.settings import ClusterSettings
from iem_batch.distributed.train import train_ray
from iem_batch.segnet import order
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import has_fast_bf16, scale_pixels, working_format
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, begin_training, train_epoch
from iem_batch.stages.pairs.files import find_pairs, read_pairs
from iem_batch.stages.train import train_local

SIZE_PX = DecodeSettings().size_px
PAIRS_PER_FILE = 128
SEGNET, SETTINGS = SegNetSettings(), TrainSettings()
CPU = torch.device("cpu")
RAY_EPOCHS = 3
STEPS = 6
"""Steps of one pass in a process that trains on its own."""

COMPUTES = 0.1
"""A thread computes if it takes more than this share of what the busiest one takes."""

Figures = dict[str, Any]
Result = TypeVar("Result")


def texture(rng: np.random.Generator, channels: int) -> NDArray[np.uint8]:
    """Draw noise that is smooth in part: uint8 (SIZE_PX, SIZE_PX, channels)."""
    layers = []
    for side in (4, 16, SIZE_PX):
        noise = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
        layers.append(np.asarray(noise.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)))
    mixed = 0.5 * layers[0] + 0.35 * layers[1] + 0.15 * layers[2]
    return mixed[:, :, :channels].astype(np.uint8)


def write_corpus(run: RunFolder, num_images: int, photos: Path | None) -> None:
    """Write what `export` leaves; where a mask is makes no difference to the time."""
    files = sorted(path for path in photos.iterdir() if path.is_file()) if photos else []
    ranks = range(num_images)
    selection = [
        {"image_id": str(r), "shard": 0, "init_side": 8, "error": 1.0, "score": 1.0, "rank": r}
        for r in ranks
    ]
    run.write_table(run_folder.TOPK, pa.Table.from_pylist(selection, schema=schema.SELECTION))
    for index, start in enumerate(range(0, num_images, PAIRS_PER_FILE)):
        rows = [_pair(rank, files) for rank in ranks[start : start + PAIRS_PER_FILE]]
        name = run_folder.part("corpus", index)
        checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=schema.CORPUS))
        mark = {"planned": len(rows), "ok": len(rows), "quarantined": 0, "files": {name: checksum}}
        run.write_json(run_folder.mark("corpus", index), mark)


def _pair(rank: int, files: Sequence[Path]) -> dict[str, Any]:
    rng = np.random.default_rng(rank)
    mask_HW = texture(rng, 1)[:, :, 0] > 128
    if files:
        image_HW3 = decode(files[rank % len(files)].read_bytes(), DecodeSettings()).pixels
    else:
        image_HW3 = np.where(mask_HW[:, :, None], texture(rng, 3), texture(rng, 3) // 2)
    return {
        "image_id": str(rank),
        "uri": str(rank),
        "image": {"bytes": schema.encode_pixels(image_HW3), "path": None},
        "mask": {"bytes": schema.encode_mask(mask_HW), "path": None},
        "error": 1.0,
        "rank": rank,
    }


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Seconds on the wall, and of processor time of this process."""

    wall: float
    processor: float

    @classmethod
    def now(cls) -> "Clock":
        """Look at both."""
        return cls(wall=time.monotonic(), processor=time.process_time())

    def since(self) -> "Clock":
        """Give the time from this one to now."""
        now = Clock.now()
        return Clock(wall=now.wall - self.wall, processor=now.processor - self.processor)


def plain_loop(
    image_N3HW: Tensor, target_N1HW: Tensor, num_images_per_pass: int
) -> Callable[[Sequence[Tensor]], float]:
    """Set up training as one writes it down; returns a function that does one epoch.

    It takes the numbers of the images of each batch and returns the mean loss.
    """
    torch.manual_seed(SETTINGS.seed)
    model = SegNet(SEGNET)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    bf16 = has_fast_bf16(CPU)

    def epoch(batches: Sequence[Tensor]) -> float:
        model.train()
        total = 0.0
        for index_N in batches:
            optimizer.zero_grad()
            for index_K in index_N.split(num_images_per_pass):
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    logit_K1HW = model(image_N3HW[index_K])
                loss = F.binary_cross_entropy_with_logits(logit_K1HW.float(), target_N1HW[index_K])
                (loss * (len(index_K) / len(index_N))).backward()
                total += loss.item() * len(index_K)
            optimizer.step()
        return total / len(image_N3HW)

    return epoch


def beside_a_plain_loop(url: str, repeats: int) -> Figures:
    """Train by `train_local`, and after each epoch do it by the plain loop; in a new process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    run, settings = RunFolder(url), TrainSettings(epochs=1 + repeats)
    files = find_pairs(run)
    record_N = np.concatenate(list(read_pairs(files, range(files.num_pairs))))
    image_N3HW = scale_pixels(torch.from_numpy(record_N["image"].copy()))
    bits_NP = np.unpackbits(record_N["mask"], axis=1)
    target_N1HW = torch.from_numpy(bits_NP.reshape(-1, 1, SIZE_PX, SIZE_PX)).float()
    data = image_N3HW, target_N1HW, settings.images_per_pass
    plain_loop(*data)([torch.arange(settings.images_per_pass)])  # torch has compiled its kernels
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
        started = Clock.now()  # so what `train_local` does between epochs counts as well

    train_local(run, SEGNET, settings, progress)
    wall = [theirs.wall / own.wall for own, theirs in zip(ours, plain, strict=True)]
    processor = [theirs.processor / own.processor for own, theirs in zip(ours, plain, strict=True)]
    return {
        "ours / plain, samples/s": statistics.median(wall[1:]),
        "ours / plain, samples/s of processor time": statistics.median(processor[1:]),
        "ours / plain, samples/s, first epoch with reading the corpus": wall[0],
        "largest relative difference of the losses of an epoch": max(
            abs(own - theirs) / theirs for own, theirs in losses
        ),
        "ratios": wall[1:],
        "ratios of processor time": processor[1:],
        "losses, ours and plain": losses,
        "samples/s of ours": [files.num_pairs / epoch.wall for epoch in ours],
        "samples/s of plain": [files.num_pairs / epoch.wall for epoch in plain],
        "processors had by ours": [epoch.processor / epoch.wall for epoch in ours],
        "processors had by plain": [epoch.processor / epoch.wall for epoch in plain],
    }


def by_ray(url: str, cores: Sequence[int], epochs: int) -> Figures:
    """Train by Ray with a worker for each of some processors, on those alone; in a new process."""
    os.sched_setaffinity(0, cores)  # Ray's processes inherit it, and see so many processors
    # Else everybody else's processes go before Ray's workers.
    os.environ["RAY_worker_niceness"] = "0"
    settings = TrainSettings(epochs=epochs, num_workers=len(cores))
    looks: list[dict[str, int]] = []

    def progress(record: EpochRecord | Collapse) -> None:
        looks.append(_thread_ticks())

    with cluster(ClusterSettings()):
        history = train_ray(RunFolder(url), SEGNET, settings, progress, "cpu")
    # Starting, which other threads do, came before the first look.
    used = [ticks - looks[0].get(thread, 0) for thread, ticks in looks[-1].items()]
    return {
        "seconds of the epochs": [record.seconds for record in history],
        "losses": [record.loss for record in history],
        "threads that compute": sum(ticks > COMPUTES * max(used) for ticks in used),
    }


def _thread_ticks() -> dict[str, int]:
    """Look at the processor time of each thread of Ray Train's workers on this machine."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"RayTrainWorker" not in (process / "cmdline").read_bytes():
                continue
            for task in (process / "task").iterdir():
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                found[task.name] = int(fields[11]) + int(fields[12])
    return found


def two_workers_beside_one(corpus: Path, num_images: int, starts: int) -> Figures:
    """Train with one worker and with two, in turn, each time on a new Ray."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    results: dict[int, list[Figures]] = {1: [], 2: []}
    allowed = []
    for start in range(starts):
        for used in ([cores[start % 2]], cores):
            url = corpus.with_name(f"ray{start}_{len(used)}")
            shutil.copytree(corpus, url)
            results[len(used)].append(in_new_process(by_ray, str(url), used, RAY_EPOCHS))
        allowed.append(_two_processes_beside_one())
    seconds = {
        count: [statistics.median(result["seconds of the epochs"][1:]) for result in found]
        for count, found in results.items()
    }
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    losses = [result["losses"] for found in results.values() for result in found]
    return {
        "two workers / one, samples/s": statistics.median(ratios),
        "two processes that train on their own / one": statistics.median(allowed),
        "largest relative difference of the losses of an epoch": max(
            max(of_epoch) / min(of_epoch) - 1 for of_epoch in zip(*losses, strict=True)
        ),
        "ratios": ratios,
        "ratios of processes on their own": allowed,
        "samples/s of one": [num_images / value for value in seconds[1]],
        "samples/s of two": [num_images / value for value in seconds[2]],
        "runs of one": results[1],
        "runs of two": results[2],
    }


def _two_processes_beside_one() -> float:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(train_alone, [True] * 2, [1] * 2))  # the processes have started
        alone = pool.submit(train_alone, True, STEPS).result()
        both = list(pool.map(train_alone, [True] * 2, [STEPS] * 2))
    return sum(result["images/s"] for result in both) / alone["images/s"]


def noise_batch() -> Batch:
    """Make a batch of one pass."""
    count = SETTINGS.images_per_pass
    rng = np.random.default_rng(0)
    return Batch(
        image_NHW3=torch.from_numpy(np.stack([texture(rng, 3) for _ in range(count)])),
        mask_NHW=torch.from_numpy(np.stack([texture(rng, 1)[:, :, 0] > 128 for _ in range(count)])),
        error_N=torch.ones(count),
        row_N=torch.arange(count),
        num_images=count,
    )


def train_alone(keep_memory: bool, num_steps: int) -> dict[str, float]:
    """Train on one batch from memory, with or without our setting of the allocator."""
    torch.set_num_threads(1)
    if keep_memory:
        keep_freed_memory()
    training, batch = begin_training(SEGNET, SETTINGS, CPU), noise_batch()
    train_epoch(training, [batch] * 2)
    faults, started = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, Clock.now()
    train_epoch(training, [batch] * num_steps)
    took, num_images = started.since(), num_steps * len(batch.row_N)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    return {
        "images/s": num_images / took.wall,
        "processor ms an image": 1000 * took.processor / num_images,
        "page faults an image": faults / num_images,
    }


def keeping_memory(starts: int) -> Figures:
    """Train with our setting of the allocator and without, in turn, in new processes."""
    kept, freed = [], []
    for _ in range(starts):
        freed.append(in_new_process(train_alone, False, STEPS))
        kept.append(in_new_process(train_alone, True, STEPS))
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


def record_convolutions(model: nn.Module, batch: Batch) -> dict[str, Callable[[], object]]:
    """Give, for each convolution of the network, its forward and backward on what it met there."""
    calls = {}

    def record(name: str, conv: nn.Conv2d, inputs: tuple[Tensor], output: Tensor) -> None:
        shape = f"{name}: {tuple(inputs[0].shape)} to {tuple(output.shape)}"

        def with_gradient(gradient: Tensor) -> None:
            calls[shape] = convolution_alone(conv, inputs[0], gradient)

        output.register_hook(with_gradient)

    handles = [
        conv.register_forward_hook(
            lambda conv, inputs, output, name=name: record(name, conv, inputs, output)
        )
        for name, conv in model.named_modules()
        if isinstance(conv, nn.Conv2d)
    ]
    with working_format(SETTINGS.precision, CPU):
        logit_K1HW = model(scale_pixels(batch.image_NHW3))
    F.binary_cross_entropy_with_logits(logit_K1HW.float()[:, 0], batch.mask_NHW.float()).backward()
    for handle in handles:
        handle.remove()
    return calls


def convolution_alone(
    conv: nn.Conv2d, input_KCHW: Tensor, gradient: Tensor
) -> Callable[[], object]:
    """Give one convolution in the number format and layout it had, as a function."""
    x = input_KCHW.detach().to(gradient.dtype).requires_grad_(input_KCHW.requires_grad)
    weights = [parameter.detach().to(gradient.dtype) for parameter in conv.parameters()]
    wanted = [*(weight.requires_grad_() for weight in weights), *([x] if x.requires_grad else [])]
    return lambda: torch.autograd.grad(
        F.conv2d(x, *weights, stride=conv.stride, padding=conv.padding), wanted, gradient
    )


def step_beside_convolutions(repeats: int) -> Figures:
    """Do a step, then each of its convolutions alone, so many times; in a new process."""
    torch.set_num_threads(1)
    keep_freed_memory()
    training, batch = begin_training(SEGNET, SETTINGS, CPU), noise_batch()
    calls = record_convolutions(training.model, batch)
    steps, convolutions = list[float](), {name: list[float]() for name in calls}
    for _ in range(1 + repeats):
        started = time.monotonic()
        train_epoch(training, [batch])
        steps.append(time.monotonic() - started)
        for name, call in calls.items():
            started = time.monotonic()
            call()
            convolutions[name].append(time.monotonic() - started)
    sums = [sum(times) for times in zip(*convolutions.values(), strict=True)]
    ratios = [step / alone for step, alone in zip(steps[1:], sums[1:], strict=True)]
    return {
        "step / its convolutions": statistics.median(ratios),
        "ratios": ratios,
        "ms of a step": [1000 * step for step in steps[1:]],
        "ms of its convolutions": [1000 * alone for alone in sums[1:]],
        "median ms of each convolution": {
            name: 1000 * statistics.median(times[1:]) for name, times in convolutions.items()
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
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=6, help="in one process")
    parser.add_argument("--starts", type=int, default=3, help="of processes to compare")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    started, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        corpus, alone = Path(name, "corpus"), Path(name, "alone")
        write_corpus(RunFolder(str(corpus)), options.images, options.photos)
        shutil.copytree(corpus, alone)
        parts = {
            "loop": in_new_process(beside_a_plain_loop, str(alone), options.repeats),
            "workers": two_workers_beside_one(corpus, options.images, options.starts),
            "convolutions": in_new_process(step_beside_convolutions, 3 * options.repeats),
            "memory": keeping_memory(options.starts),
        }
    results = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{'bf16' if has_fast_bf16(CPU) else 'fp32'}",
        "images": options.images,
        "load average before": load,
        "seconds in all": time.monotonic() - started,
        **parts,
    }
    for part, figures in parts.items():
        for figure, value in figures.items():
            if isinstance(value, float):
                print(f"{part}: {figure}: {value:.4g}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
