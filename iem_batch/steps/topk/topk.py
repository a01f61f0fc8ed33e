"""The step `topk`: the masks of highest score in the whole run, by their inpainting error."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

import iem_batch
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.settings import DecodeSettings
from iem_batch.steps.topk.candidates import (
    NO_ROWS,
    ORDER,
    Candidates,
    Query,
    candidates,
    error_histogram,
    first_rows,
)
from iem_batch.steps.topk.choose import dataset_side
from iem_batch.steps.topk.diversity import POOL, LeftOut, without_near_duplicates
from iem_batch.steps.topk.groups import groups_digest
from iem_batch.steps.topk.labels import labels_of
from iem_batch.steps.topk.settings import SelectBy, SelectSettings

Search = Callable[[Query, int], Candidates]
"""Finds the candidates of the shards 0 .. n-1; `iem_batch.exec.ray.search` does it on Ray."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What `topk` found."""

    num_images: int
    """Images with a mask."""
    num_undefined: int
    """Images whose mask came out empty or full; they are never selected."""
    num_outside: int
    """Images left out for the area of their mask, or because they are in no group."""
    num_near_duplicates: int
    """Images left out for a near-duplicate of higher error."""
    num_gone: int
    """Images left out because they can no longer be read, which only diversity asks for."""
    num_selected: int
    cut: float | None
    """Score of the last mask selected; None where nothing is selected."""
    side: int | None
    """The first mask with the highest mean error over the data set; None in a later round, where
    each image has one mask."""
    histogram: list[int]
    """Images with a defined mask by score, in `ERROR_BINS`."""
    histogram_selected: list[int]
    """The selected ones, likewise."""
    by: SelectBy
    """What the score is; `error` also where the masks have no agreement to multiply it by."""


def search_here(query: Query, num_shards: int) -> Candidates:
    """Find the candidates of all shards in this process."""
    return candidates(query, range(num_shards), os.cpu_count() or 1)


def topk(
    run: RunFolder,
    num_shards: int,
    settings: SelectSettings,
    decode: DecodeSettings | None = None,
    search: Search = search_here,
) -> Selection:
    """Select the k masks of highest score and write selection/.

    The score is the error E, without the diversity term, or E times the agreement of the masks of
    an image.

    Ties go to the image_id that sorts first, so the selection does not depend on the sharding.
    Memory is bounded by k and some shards.

    Args:
        run: where the selection goes; the masks it is made among are complete.
        num_shards: shards of its plan.
        settings: k, how one first mask of each image is chosen, and what is left out.
        decode: how images become pixels; needed for `settings.diversity_bits` alone.
        search: who goes through the shards.

    Returns:
        What was selected; also stored as the commit mark of the step.

    Raises:
        StepMissingError: no image has a mask.
        SettingsError: the table of groups cannot be used, or the library of hashes is missing.
    """
    labels = labels_of(run, settings.rounds, settings.masks)
    marks = labels.run.marks(labels.step, range(num_shards))
    k = _number(settings, marks)
    query = Query(
        labels=labels,
        settings=settings,
        k=k,
        side=dataset_side(marks) if labels.step == "masks" else None,
        is_by_agreement=settings.by == "error_agreement" and _num_first_masks(marks) > 1,
        ids_at_once=(
            settings.init_choice == "image" or settings.per_group is not None or k > num_shards
        ),
    )
    left_out = LeftOut()
    if settings.diversity_bits is None:
        found = search(query, num_shards)
        best = found.best
    else:
        assert decode is not None, "diversity looks at the images"
        found = search(replace(query, k=POOL * k), num_shards)
        best, left_out = without_near_duplicates(
            run, found.best.sort_by(ORDER), settings.diversity_bits, decode
        )
        best = first_rows(best, k)
    return _write(run, query, found, best, left_out)


def selection_depends_on(
    settings: SelectSettings, masks_digest: str, decode: DecodeSettings
) -> dict[str, Any]:
    """List what selection/ depends on, for `RunFolder.begin_step`.

    Args:
        settings: the settings of the step.
        masks_digest: digest of the files of the masks it is made among.
        decode: how images become pixels, which only diversity looks at.
    """
    decides = asdict(settings)
    if settings.rounds == 1:
        del decides["masks"]
    depends: dict[str, Any] = {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "select": decides,
        "masks": masks_digest,
    }
    if settings.groups is not None:
        depends["groups"] = groups_digest(settings.groups)
    if settings.diversity_bits is not None:
        depends["decode"] = asdict(decode)
    return depends


def read_selection(run: RunFolder) -> Selection | None:
    """Read what a finished step has selected; None if it has not finished."""
    name = layout.mark("selection", 0)
    return Selection(**run.read_json(name)["selection"]) if run.exists(name) else None


def _number(settings: SelectSettings, marks: list[dict[str, Any]]) -> int:
    if settings.fraction is None:
        return settings.k
    num_images: int = sum(mark["ok"] for mark in marks)
    return round(settings.fraction * num_images)


def _num_first_masks(marks: list[dict[str, Any]]) -> int:
    """Count the masks of each image; marks of predictions/ and refined/ do not tell, there is 1."""
    return max((len(mark.get("sides", [None])) for mark in marks), default=1)


def _write(
    run: RunFolder, query: Query, found: Candidates, best: pa.Table, left_out: LeftOut
) -> Selection:
    score = best["score"].to_numpy()
    selection = Selection(
        num_images=found.num_images,
        num_undefined=found.num_undefined,
        num_outside=found.num_outside,
        num_near_duplicates=left_out.num_near_duplicates,
        num_gone=left_out.num_gone,
        num_selected=len(best),
        cut=float(score[-1]) if len(best) else None,
        side=query.side,
        histogram=found.histogram.tolist(),
        histogram_selected=error_histogram(score).tolist(),
        by="error_agreement" if query.is_by_agreement else "error",
    )
    rank = pa.array(np.arange(len(best), dtype=np.int32))
    table = best.select(NO_ROWS.column_names).append_column("rank", rank).cast(schema.SELECTION)
    checksum = run.write_table(layout.TOPK, table)
    # The mark lies with those of the steps over shards, so that it is dropped and checked as they.
    record: dict[str, Any] = {"shard": 0, "planned": len(best), "ok": len(best), "quarantined": 0}
    record |= {"selection": asdict(selection), "files": {layout.TOPK: checksum}}
    run.write_json(layout.mark("selection", 0), record)
    return selection
