"""Steps on whose images anything may happen, to whatever process works on them."""

import os
import signal
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from iem_batch.errors import StorageError
from iem_batch.exec.step import ShardOutput
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import add_killers, read_killers
from iem_batch.run.marks import Summary
from iem_batch.steps.registry import up_to

IMAGES_PER_SHARD = 6


def suffer(trouble: Path, image_ids: Sequence[str], where: str = "decoder") -> None:
    """Do what the files in a folder say of images: KIND-IMAGE_ID.

    segfault, abort and hang happen whenever the image is decoded, engine when it is computed. once
    and engineonce are a kill from outside, which does not happen again; hangonce and flaky do not
    happen again either. pair kills where all images of that kind are together; error is an error
    like any other.
    """
    kinds: dict[str, set[str]] = {}
    for file in trouble.iterdir():
        kind, _, image_id = file.name.partition("-")
        kinds.setdefault(kind, set()).add(image_id)
    there = set(image_ids)
    if where == "engine":
        if kinds.get("engine", set()) & there:
            os.kill(os.getpid(), signal.SIGSEGV)
        for image_id in kinds.get("engineonce", set()) & there:
            (trouble / f"engineonce-{image_id}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return
    if kinds.get("segfault", set()) & there:
        os.kill(os.getpid(), signal.SIGSEGV)
    if kinds.get("abort", set()) & there:
        os.abort()
    if kinds.get("hang", set()) & there:
        time.sleep(600)
    for image_id in kinds.get("hangonce", set()) & there:
        (trouble / f"hangonce-{image_id}").unlink()
        time.sleep(600)
    for image_id in kinds.get("once", set()) & there:
        (trouble / f"once-{image_id}").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if kinds.get("pair") and kinds["pair"] <= there:
        os.kill(os.getpid(), signal.SIGKILL)
    for image_id in kinds.get("flaky", set()) & there:
        (trouble / f"flaky-{image_id}").unlink()
        raise StorageError(f"slow down, {image_id}")
    for image_id in kinds.get("error", set()) & there:
        raise StorageError(f"no route to {image_id}")


@dataclass(frozen=True)
class PoisonedStep:
    """Gives each image its own name, unless it kills; needs no picture and no torch."""

    run: RunFolder
    trouble: Path
    name: str = "segment"
    num_shards: int = 8

    @property
    def place(self) -> RunFolder:
        return self.run

    @property
    def depends_on(self) -> dict[str, Any]:
        return {}

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> tuple[int, list[str], int]:
        killers = read_killers(self.run, up_to(self.name), shard)
        ids = [key for key in self.image_ids(shard) if wanted is None or key in wanted]
        kept = [key for key in ids if key not in killers]
        suffer(self.trouble, kept)
        return shard, kept, len(ids)

    def image_ids(self, shard: int) -> list[str]:
        return [f"{shard}.{index}" for index in range(IMAGES_PER_SHARD)]

    def largest_images(self, shard: int) -> str:
        return f"{shard}.0 (80x64)"

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        add_killers(self.run, self.name, shard, killers)

    def open_engine(self, num_threads: int) -> Callable[[tuple[int, list[str], int]], ShardOutput]:
        def compute(loaded: tuple[int, list[str], int]) -> ShardOutput:
            shard, ids, planned = loaded
            suffer(self.trouble, ids, "engine")
            return ShardOutput(
                shard=shard,
                tables={layout.part(self.name, shard): pa.table({"image_id": ids})},
                planned=planned,
                ok=len(ids),
                quarantined=planned - len(ids),
            )

        return compute

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        return {}

    def complete(self, summary: Summary) -> dict[str, str]:
        return {}
