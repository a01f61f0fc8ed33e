"""How soon the report of a large run can be used in Chromium, and the memory it takes.

    python -m benchmarks.report make RUN PHOTOS [--images 100000]
    python -m benchmarks.report measure RUN

`make` writes fuse/ of a run over photos that are named many times, with drawn errors and masks, and
its report with all of them in the list; pictures are drawn of one shard, and repeated. `measure`
opens the page in a new browser, waits for the pictures of its first cards, goes to the cut, sorts
by area and filters by name, and turns 30 pages in each of two orders. Seconds of a busy machine say
little, so there is the time of the processor of the page's process too. Memory is what the page's
process alone has (private in smaps), an empty page first; the last line is what is left when the
browser has collected its garbage, which it does when it wants to.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from threading import Lock
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from iem_batch import cli
from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import StepRecord, add_up, write_mark, write_record, write_summary
from iem_batch.run.plan import read_plan
from iem_batch.steps.report import photos
from iem_batch.steps.report.gallery import Sources
from tests.steps.hand_made import make_mark

SIZE_PX = 128
SHARD_SIZE = 1000


def make(run: RunFolder, source: Path, num_images: int) -> None:
    """Write a run and its report."""
    folder = Path(f"{run.url}.photos")
    folder.mkdir()
    files = cycle(sorted(source.iterdir()))
    names = [f"{number:07d}.jpg" for number in range(num_images)]
    for name, file in zip(names, files, strict=False):
        os.link(file.resolve(), folder / name)
    command = [sys.executable, "-m", "iem_batch"]
    plan = ["plan", str(folder), run.url, "--shard-size", str(SHARD_SIZE)]
    subprocess.run([*command, *plan], check=True)
    num_shards = read_plan(run).num_shards
    rng = np.random.default_rng(0)
    for shard in range(num_shards):
        own = names[shard * SHARD_SIZE : (shard + 1) * SHARD_SIZE]
        table = pa.Table.from_pylist(list(_rows(own, rng)), schema=schema.FUSED)
        name = layout.part("fuse", shard)
        files = {name: run.write_table(name, table)}
        write_mark(run, "fuse", make_mark(shard, files, len(own), facts={"first_masks": 6}))
    write_record(run, "fuse", StepRecord(num_shards=num_shards, settings={}, versions={}))
    whole = add_up(run, "fuse", range(num_shards), lambda facts: facts[0])
    write_summary(run, "fuse", whole)
    subprocess.run([*command, "topk", run.url, "--local"], check=True)
    write_report(run, num_images)


def write_report(run: RunFolder, num_images: int) -> None:
    """Write the report with all photos in its list; the pictures of one shard serve all."""
    draw, lock = photos._draw_shard, Lock()
    drawn: list[photos._Drawn] = []

    def repeat(sources: Sources, shard: int, rows: pa.Table) -> photos._Drawn:
        with lock:
            if not drawn:
                drawn.append(draw(sources, shard, rows))
        return drawn[0]

    with patch.object(photos, "_draw_shard", repeat):
        cli.main(["report", run.url, "--report.num_photos", str(num_images)])


def _rows(names: list[str], rng: np.random.Generator) -> Iterator[dict[str, object]]:
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX] / SIZE_PX
    for name in names:
        radius = rng.uniform(0.1, 0.5)
        mask = (x - 0.5) ** 2 + (y - rng.uniform(0.3, 0.7)) ** 2 < radius**2
        yield {
            "image_id": name,
            "width": 320,
            "height": 480,
            "mask": {"bytes": encode_mask(mask), "path": None},
            "vote": {"bytes": encode_pixels(mask.view(np.uint8) * np.uint8(255)), "path": None},
            "error": rng.gamma(6, 0.1),
            "area": float(mask.mean()),
            "agreement": rng.beta(4, 3),
            "status": "ok",
        }


def measure(run: RunFolder) -> None:
    """Open the page and use it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        session = browser.new_browser_cdp_session()
        page = browser.new_page(viewport={"width": 1300, "height": 900})

        def tell(what: str, started: float) -> None:
            seconds = time.monotonic() - started
            found = session.send("SystemInfo.getProcessInfo")["processInfo"]
            pages = [each for each in found if each["type"] == "renderer"]  # some are spare
            mb, process = max((_own_mb(each["id"]), each["id"]) for each in pages)
            processor = next(each["cpuTime"] for each in pages if each["id"] == process)
            print(f"{what}: {seconds:.2f} s, {processor:.2f} s of processor so far, {mb:.0f} MB")

        tell("empty page", time.monotonic())
        started = time.monotonic()
        page.goto(Path(run.url, "report/index.html").as_uri())
        page.locator("#cards .mask").nth(13).wait_for(state="attached")
        tell("open, 14 photos shown", started)
        for what, act in (
            ("cut", lambda: page.get_by_role("slider").fill("0.2")),
            ("largest area", lambda: page.select_option("[name=order]", "largest")),
            ("name", lambda: page.get_by_label("Name contains").fill("0012")),
        ):
            started = time.monotonic()
            act()
            page.locator("#cards li:nth-child(14) .mask").wait_for(state="attached")
            tell(what, started)
        page.get_by_role("button", name="Show all").click()
        for order in ("list", "largest"):
            page.select_option("[name=order]", order)
            started = time.monotonic()
            for _ in range(30):
                page.get_by_role("button", name="Forward").click()
                page.locator("#cards .mask").nth(47).wait_for(state="attached")
            tell(f"30 pages by {order}", started)
        page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
        tell("garbage collected", time.monotonic())
        browser.close()


def _own_mb(process: int) -> float:
    """Give the memory that a process has for itself, as the browser's task manager counts it."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("make", "measure"))
    parser.add_argument("run", type=RunFolder)
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args()
    if options.action == "make":
        make(options.run, options.photos, options.images)
    else:
        measure(options.run)


if __name__ == "__main__":
    main()
