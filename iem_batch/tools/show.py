"""The command `show`: one image with everything there is of it."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.marker import kind_of
from iem_batch.run.marks import committed

if TYPE_CHECKING:
    from PIL.Image import Image


def show(job: Job, image: str, png: str | None) -> None:
    """Draw one image of a run, or a photo that is in no run, and show it on a terminal too."""
    picture = _of_run(job, image) or _of_file(job, image)
    if picture is None:
        raise SettingsError(f"there is no file {image}, and {_not_found(job, image)}")
    path = png or f"{PurePath(image).stem}.iem.png"
    picture.save(path)
    if sys.stdout.isatty() and all(os.get_terminal_size(sys.stdout.fileno())):
        _show_on_terminal(picture)
    print(f"show: -> {path}")


def _show_on_terminal(picture: "Image") -> None:
    """Draw a picture by sixels, Kitty's graphics or coloured blocks, whatever the terminal can."""
    if find_spec("textual_image") is None:
        return
    from rich.console import Console
    from textual_image.renderable import Image as Renderable

    Console().print(Renderable(picture))


def _of_run(job: Job, image: str) -> "Image | None":
    from iem_batch.run.plan import read_plan
    from iem_batch.steps.evaluate.evaluation import read_evaluation
    from iem_batch.steps.report.show import draw_image
    from iem_batch.steps.report.step import open_sources

    if not committed(job.run, "fuse"):
        return None
    sources, notes = open_sources(job, read_plan(job.run), read_evaluation(job.run))
    picture = draw_image(sources, image)
    for note in notes if picture else []:
        print(f"show: {note}")
    return picture


def _not_found(job: Job, image: str) -> str:
    """Say why an image is none of the run, and how one that may be meant is called."""
    import pyarrow.compute as pc

    if kind_of(job.run) is None:
        return f"{job.run.url} is no run"
    example = None
    for shard in sorted(committed(job.run, "fuse")):
        ids = job.run.read_table(layout.part("fuse", shard), ["image_id"])["image_id"]
        like = ids.filter(pc.match_substring(ids, image))
        if len(like):
            return f"{job.run.url} has no image of this name; did you mean {like[0]}?"
        example = example or (ids[0] if len(ids) else None)
    if example is None:
        return f"{job.run.url} has no fused masks yet"
    return f"{job.run.url} has no image of this name; one of its images is {example}"


def _of_file(job: Job, image: str) -> "Image | None":
    from iem_batch.notebook import segment

    if not Path(image).is_file():
        return None
    settings = job.settings
    return segment(
        image,
        iem=settings.iem,
        decode=settings.decode,
        first_masks=settings.segment,
        fuse=settings.fuse,
    ).plot()
