"""What `benchmarks.train` trains on and compares with: a corpus, loops, single steps."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.pipeline import processor_ticks
from iem_batch.config import PAPER
from iem_batch.exec.ray.executor import RayExecutor
from iem_batch.exec.settings import ClusterSettings
from iem_batch.images.decode import decode
from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary, require_summary, write_summary
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.prediction import has_fast_bf16, scale_pixels, working_format
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, begin_training, train_epoch
from iem_batch.steps.train.on_ray import train_on_ray
from iem_batch.steps.train.pair_files import PairFiles, find_pairs, read_pairs
from iem_batch.steps.train.work import TrainWork

CPU = torch.device("cpu")
SIZE_PX = DecodeSettings().size_px
PAIRS_PER_FILE = 128
STEPS = 4
"""Steps of one pass in a process that trains on its own, after two that count for nothing."""

RAY_EPOCHS = 8
COMPUTES = 0.1
"""A thread computes if it takes more than this share of what the busiest one takes."""

SECONDS = "seconds of the epochs"

Figures = dict[str, Any]


def recipe(name: str, **changes: int) -> tuple[SegNetSettings, TrainSettings]:
    """Give the network and the settings of the recipe `paper` or `default`, with some changed."""
    if name == "default":
        return SegNetSettings(), TrainSettings(**changes)
    return SegNetSettings(**_of_paper("segnet.")), TrainSettings(**_of_paper("train.") | changes)


def _of_paper(section: str) -> dict[str, Any]:
    start = len(section)
    return {name[start:]: value for name, value in PAPER.items() if name.startswith(section)}


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


def write_corpus(run: RunFolder, num_images: int, photos: Path | None) -> None:
    """Write what `export` leaves; where a mask is makes no difference to the time."""
    files = sorted(path for path in photos.iterdir() if path.is_file()) if photos else []
    ranks = range(num_images)
    pairs = dict[str, int]()
    for index, start in enumerate(range(0, num_images, PAIRS_PER_FILE)):
        rows = [_pair(rank, files) for rank in ranks[start : start + PAIRS_PER_FILE]]
        run.write_table(
            layout.part("export", index), pa.Table.from_pylist(rows, schema=schema.CORPUS)
        )
        pairs[f"part-{index:05d}"] = len(rows)
    summary = Summary(
        num_shards=len(pairs),
        planned=num_images,
        ok=num_images,
        quarantined=0,
        outputs_digest="",
        facts={"files": pairs},
        seconds=0.0,
        began=0.0,
        finished=0.0,
    )
    write_summary(run, "export", summary)


def training_on(url: str, segnet: SegNetSettings, settings: TrainSettings) -> TrainWork:
    """Give the training on what `write_corpus` wrote."""
    run = RunFolder(url)
    return TrainWork(
        place=run,
        key="benchmark",
        segnet=segnet,
        settings=settings,
        files=find_pairs(run, require_summary(run, "export")),
        held_back=None,
    )


def _pair(rank: int, files: Sequence[Path]) -> dict[str, Any]:
    image_HW3, mask_HW = textured_pair(rank)
    if files:
        image_HW3 = decode(
            files[rank % len(files)].read_bytes(), DecodeSettings(fit="crop", resize="nearest")
        ).pixels
    return {
        "image_id": str(rank),
        "uri": str(rank),
        "image": {"bytes": encode_pixels(image_HW3), "path": None},
        "mask": {"bytes": encode_mask(mask_HW), "path": None},
        "error": 1.0,
        "rank": rank,
    }


def textured_pair(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw an object that differs from what is behind it in brightness, and its mask."""
    rng = np.random.default_rng(seed)
    mask_HW = _texture(rng, (3, 5))[:, :, 0] > 128
    image_HW3 = _texture(rng, (4, 16, SIZE_PX))
    return np.where(mask_HW[:, :, None], image_HW3, image_HW3 // 2), mask_HW


def _texture(rng: np.random.Generator, scales: Sequence[int]) -> NDArray[np.uint8]:
    layers = [
        Image.fromarray(rng.integers(0, 256, (scale, scale, 3), np.uint8)).resize(
            (SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC
        )
        for scale in scales
    ]
    return np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8)


def tensors_of(files: PairFiles) -> tuple[Tensor, Tensor]:
    """Read a whole corpus as the network takes it: image_N3HW and target_N1HW, both float32."""
    record_N = np.concatenate(list(read_pairs(files, range(files.num_pairs))))
    target_NHW = np.unpackbits(record_N["mask"], axis=1).reshape(-1, 1, SIZE_PX, SIZE_PX)
    return scale_pixels(torch.from_numpy(record_N["image"])), torch.from_numpy(target_NHW).float()


def plain_loop(
    image_N3HW: Tensor, target_N1HW: Tensor, segnet: SegNetSettings, settings: TrainSettings
) -> Callable[[Sequence[Tensor]], float]:
    """Set up training as one writes it down; returns a function that does one epoch.

    It takes the numbers of the images of each batch and returns the mean loss. Of the settings only
    the seed, the rate and the size of a pass are followed.
    """
    torch.manual_seed(settings.seed)
    model = SegNet(segnet)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    bf16 = has_fast_bf16(CPU)

    def epoch(batches: Sequence[Tensor]) -> float:
        model.train()
        total = 0.0
        for index_N in batches:
            optimizer.zero_grad()
            for index_K in index_N.split(settings.images_per_pass):
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    logit_K1HW = model(image_N3HW[index_K])
                loss = F.binary_cross_entropy_with_logits(logit_K1HW.float(), target_N1HW[index_K])
                (loss * (len(index_K) / len(index_N))).backward()
                total += loss.item() * len(index_K)
            optimizer.step()
        return total / sum(map(len, batches))

    return epoch


def batch_of_one_pass(settings: TrainSettings) -> Batch:
    """Make a batch from memory."""
    count = settings.images_per_pass
    images, masks = zip(*map(textured_pair, range(count)), strict=True)
    return Batch(
        image_NHW3=torch.from_numpy(np.stack(images)),
        mask_NHW=torch.from_numpy(np.stack(masks)),
        row_N=torch.arange(count),
        num_images=count,
    )


def train_alone(keep_memory: bool, num_steps: int = STEPS) -> dict[str, float]:
    """Train on one batch from memory, with or without our setting of the allocator."""
    torch.set_num_threads(1)
    if keep_memory:
        keep_freed_memory()
    segnet, settings = recipe("paper")
    training, batch = begin_training(segnet, settings, CPU), batch_of_one_pass(settings)
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


def convolutions(
    model: nn.Module, batch: Batch, settings: TrainSettings
) -> dict[str, Callable[[], object]]:
    """Give, for each convolution of a network, its forward and backward on what it meets there."""
    calls = {}

    def watch(name: str, conv: nn.Conv2d) -> Any:
        def record(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            title = f"{name}: {tuple(inputs[0].shape)} to {tuple(output.shape)}"

            def with_gradient(gradient: Tensor) -> None:
                calls[title] = _alone(conv, inputs[0], gradient)

            output.register_hook(with_gradient)

        return conv.register_forward_hook(record)

    found = [(name, module) for name, module in model.named_modules()]
    hooks = [watch(name, module) for name, module in found if isinstance(module, nn.Conv2d)]
    with working_format(settings.precision, CPU):
        logit_K1HW = model(scale_pixels(batch.image_NHW3))
    F.binary_cross_entropy_with_logits(logit_K1HW.float()[:, 0], batch.mask_NHW.float()).backward()
    for hook in hooks:
        hook.remove()
    return calls


def _alone(conv: nn.Conv2d, input_KCHW: Tensor, gradient: Tensor) -> Callable[[], object]:
    """Give a convolution in the number format and layout that it had, as a function."""
    x = input_KCHW.detach().to(gradient.dtype).requires_grad_(input_KCHW.requires_grad)
    weights = [weight.detach().to(gradient.dtype).requires_grad_() for weight in conv.parameters()]
    wanted = [*weights, x] if x.requires_grad else weights
    return lambda: torch.autograd.grad(
        F.conv2d(x, *weights, stride=conv.stride, padding=conv.padding), wanted, gradient
    )


def train_by_ray(url: str, cores: Sequence[int], all_cores: Sequence[int]) -> Figures:
    """Train by Ray with a worker of one thread for each of some processors, in a new process.

    A worker alone has its processor to itself: the rest of Ray is given the others, so that it does
    not slow down what two workers are compared with.
    """
    os.sched_setaffinity(0, cores)  # Ray's processes inherit it, and see so many processors
    # Else everybody else's processes go before Ray's workers.
    os.environ.setdefault("RAY_worker_niceness", "0")
    segnet, settings = recipe("paper", epochs=RAY_EPOCHS, num_workers=len(cores))
    looks: list[tuple[float, dict[str, int], int]] = []

    def progress(record: EpochRecord | Collapse) -> None:
        threads, processes = _worker_threads(), processor_ticks()
        if not looks:
            for pid in processes:
                if str(pid) not in threads:
                    _let_run(pid, all_cores)
        total = sum(ticks for ticks, _ in processes.values())
        looks.append((time.monotonic(), threads, total))

    work = training_on(url, segnet, settings)
    with RayExecutor(ClusterSettings()) as executor:
        history = train_on_ray(work, progress, executor, "cpu").history
    # Starting, which other threads do, came before the first look.
    (began, before, total_before), (ended, after, total_after) = looks[0], looks[-1]
    used = [ticks - before.get(thread, 0) for thread, ticks in after.items()]
    num_threads = sum(ticks > COMPUTES * max(used) for ticks in used)
    assert num_threads == len(cores), f"{num_threads} threads compute on {len(cores)} processors"
    per_second = (ended - began) * os.sysconf("SC_CLK_TCK")
    return {
        SECONDS: [record.seconds for record in history],
        "losses": [record.loss for record in history],
        "threads that compute": num_threads,
        "processors had by the workers": sum(used) / per_second,
        "processors had by the rest of Ray": (total_after - total_before - sum(used)) / per_second,
    }


def _let_run(pid: int, cores: Sequence[int]) -> None:
    with suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)


def _worker_threads() -> dict[str, int]:
    """Give the processor time so far, in ticks, of each thread of Ray Train's workers."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"RayTrainWorker" not in (process / "cmdline").read_bytes():
                continue
            for task in (process / "task").iterdir():
                fields = (task / "stat").read_text().rpartition(")")[2].split()
                found[task.name] = int(fields[11]) + int(fields[12])
    return found
