"""A second run beside that of the page: masks of the same images, and how far both agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.config import settings_from_yaml
from iem_batch.errors import RunMismatchError, SettingsError, StepMissingError
from iem_batch.images.png import decode_mask
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.differences import Changes, changes
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import require_made
from iem_batch.steps.places import done_shards, rounds
from iem_batch.steps.registry import MASKS, STEPS
from iem_batch.storage.read_ahead import map_ahead

NOT_OF_MASKS = ("cluster", "limits", "report")
"""Sections of the settings that decide time and memory, or nothing but the page."""

Masks = dict[str, NDArray[np.bool_]]
"""image_id -> mask of the engine's size, True is foreground."""


@dataclass(frozen=True, kw_only=True)
class OtherRun:
    """A run, and the masks that are compared: the last that both runs have."""

    job: Job
    """At its last round."""
    step: str
    """Whose masks are compared."""
    own: RunFolder
    """Where those of the page's run lie."""
    place: RunFolder
    """Where its own lie."""
    size_px: int
    """Side of the masks of the page's run, to which its masks are brought."""
    shard_of: dict[str, int]
    """image_id -> its shard of these masks."""
    settings: Changes
    """Those that differ: in the page's run, and in this one."""

    @property
    def label(self) -> str:
        """What its masks are called, for people."""
        return f"other run's {STEPS[self.step].masks}"

    def masks(self, ids: Iterable[str]) -> Masks:
        """Read its masks of images; those it has none of are left out."""
        wanted: dict[int, list[str]] = {}
        for image_id in ids:
            if image_id in self.shard_of:
                wanted.setdefault(self.shard_of[image_id], []).append(image_id)
        found: Masks = {}
        for shard, some in wanted.items():
            found |= _masks(self.place, self.step, shard, some)
        return {image_id: self._fitted(mask_HW) for image_id, mask_HW in found.items()}

    def _fitted(self, mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if len(mask_HW) == self.size_px:
            return mask_HW
        size = (self.size_px, self.size_px)
        return cv2.resize(mask_HW.view(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0

    def beside(self, shard: int, rows: pa.Table) -> pa.Table:
        """Keep the rows of images of which both runs have a mask.

        Args:
            shard: of the page's run.
            rows: some of it, with the column image_id.

        Returns:
            The rows, and in the column iou how far the two masks agree, in [0, 1].
        """
        ids: list[str] = rows["image_id"].to_pylist()
        theirs = self.masks(ids)
        own = _masks(self.own, self.step, shard, list(theirs))
        is_common = [image_id in own for image_id in ids]
        iou = [_iou(own[image_id], theirs[image_id]) for image_id in ids if image_id in own]
        return rows.filter(pa.array(is_common)).append_column("iou", pa.array(iou, pa.float64()))


def open_other_run(job: Job) -> OtherRun | None:
    """Open the run that a job shows beside its own; None where it shows none.

    Holds the ids of its images.

    Raises:
        SettingsError: it is to show several.
        RunMismatchError: it is no run, or has seen another part of the photos.
        StepMissingError: it has no masks, or none of a step that the job's run has.
    """
    if not job.against:
        return None
    if len(job.against) > 1:
        raise SettingsError(f"report shows one run --against another; {len(job.against)} are given")
    run = RunFolder(job.against[0])
    require_made(run, a_run=True)
    *_, other = rounds(replace(job, run=run, number=None))
    differing = changes(_stored(job.run), _stored(run))
    if "decode.fit" in differing:
        own_fit, its_fit = differing["decode.fit"]
        raise RunMismatchError(
            f"decode.fit is {own_fit} in {job.run.url} and {its_fit} in {run.url}: masks of "
            "different parts of the photos cannot be compared"
        )
    for name in reversed(MASKS[1:]):  # segment has several for each image
        own, place = (each.place if STEPS[name].per_round else each.run for each in (job, other))
        shards = done_shards(place, name)
        if shards and done_shards(own, name):
            return OtherRun(
                job=other,
                step=name,
                own=own,
                place=place,
                size_px=job.settings.decode.size_px,
                shard_of=_shards_by_id(place, name, shards),
                settings=differing,
            )
    raise StepMissingError(
        f"{run.url} has no masks of a step that {job.run.url} has; run `iem-batch fuse` on both"
    )


def _masks(place: RunFolder, step: str, shard: int, ids: Sequence[str]) -> Masks:
    if not place.exists(layout.mark(step, shard)):
        return {}
    table = place.read_table(layout.part(step, shard), ["image_id", "mask"])
    table = table.filter(pc.is_in(table["image_id"], pa.array(ids, pa.string())))
    return {item["image_id"]: decode_mask(item["mask"]["bytes"]) for item in table.to_pylist()}


def _shards_by_id(place: RunFolder, step: str, shards: Sequence[int]) -> dict[str, int]:
    names = [layout.part(step, shard) for shard in shards]
    tables = map_ahead(partial(place.read_table, columns=["image_id"]), names)
    return {
        image_id: shard
        for shard, table in zip(shards, tables, strict=True)
        for image_id in table["image_id"].to_pylist()
    }


def _iou(one_HW: NDArray[np.bool_], other_HW: NDArray[np.bool_]) -> float:
    """Give the IoU of two masks; two empty ones are the same."""
    union = int((one_HW | other_HW).sum())
    return int((one_HW & other_HW).sum()) / union if union else 1.0


def _stored(run: RunFolder) -> dict[str, object]:
    """Read the settings that a run has stored; none of one that was only planned."""
    if not run.exists(layout.CONFIG):
        return {}
    sections, _ = settings_from_yaml(run.read_bytes(layout.CONFIG), run.url_of(layout.CONFIG))
    return {name: values for name, values in sections.items() if name not in NOT_OF_MASKS}
