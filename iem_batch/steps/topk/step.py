"""The step `topk`: the masks of highest score in the whole run, by their inpainting error."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from iem_batch.exec.step import ShardOutput, WholeStep
from iem_batch.job import Job
from iem_batch.run import schema
from iem_batch.run.marks import Summary, require_summary
from iem_batch.steps.topk.candidates import (
    NO_ROWS,
    ORDER,
    Candidates,
    Query,
    candidates,
    error_histogram,
    first_rows,
    merge,
)
from iem_batch.steps.topk.diversity import POOL, LeftOut, without_near_duplicates
from iem_batch.steps.topk.groups import groups_digest
from iem_batch.steps.topk.histogram import histogram_table
from iem_batch.steps.topk.labels import Labels, labels_of
from iem_batch.steps.topk.lists import list_digests, open_lists
from iem_batch.steps.topk.scores import SCORES
from iem_batch.steps.topk.selection import TABLE, Selection
from iem_batch.words import count

Search = Callable[[Query], Candidates]
"""Finds the candidates of all shards."""


def build(job: Job) -> WholeStep:
    """Make the step of a job.

    Raises:
        StepMissingError: the masks that it selects among are not there, or there is none.
        ShardsFailedError: there are only some.
        SettingsError: the table of groups or a list of images cannot be used.
    """
    settings, labels = job.settings.topk, labels_of(job)
    made = require_summary(labels.place, labels.step)
    decides = asdict(settings)
    del decides["rounds"]
    if job.round == 1:
        del decides["masks"]
    depends: dict[str, Any] = {
        "topk": decides,
        "shards": made.num_shards,
        "masks": made.outputs_digest,
    }
    if settings.groups is not None:
        depends["groups"] = groups_digest(settings.groups)
    depends |= list_digests(settings)
    if settings.diversity_bits is not None:
        depends["decode"] = asdict(job.settings.decode)

    def compute() -> ShardOutput:
        selection, table = select(job, labels, made, search)
        return ShardOutput(
            shard=0,
            tables={TABLE: table},
            planned=len(table),
            ok=len(table),
            quarantined=0,
            facts=asdict(selection),
        )

    def search(query: Query) -> Candidates:
        look, put_together = partial(candidates, query), partial(merge, query.k)
        found: Candidates = job.executor.reduce_shards(look, put_together, made.num_shards)
        return found

    return WholeStep(name="topk", run=job.run, place=job.place, depends_on=depends, compute=compute)


def finish(job: Job, built: WholeStep, summary: Summary) -> None:
    """Show where the cut falls, and say what was left out."""
    from rich.console import Console

    selection, labels = Selection(**summary.facts), labels_of(job)
    Console().print(histogram_table(selection))
    score = SCORES[selection.by].label
    cut = "" if selection.cut is None else f", {score} down to {selection.cut:.4f}"
    among = f"among {labels.place.url_of(labels.step)}"
    taken = f"{selection.num_selected:,} of {count(selection.num_images, 'image')}"
    if selection.takes_all:
        labels_of_it = count(selection.num_selected, "image")
        taken = f"all {labels_of_it} that can be labels, of {selection.num_images:,}"
    print(
        f"topk: {taken}{cut}; {selection.num_undefined:,} empty or full masks left out; {among} -> "
        f"{built.place.url_of(TABLE)}"
    )
    for number, why in (
        (selection.num_outside, "for the area of their mask, or for being in no group"),
        (selection.num_unlisted, "by the lists of topk.exclude and topk.only"),
        (selection.num_near_duplicates, "for looking like an image of higher error"),
        (selection.num_gone, "because they can no longer be read"),
    ):
        if number:
            print(f"topk: {count(number, 'image')} left out {why}")
    if selection.num_unknown_ids:
        ids = count(selection.num_unknown_ids, "id")
        print(f"topk: {ids} of topk.exclude and topk.only are of no image with a mask")


def select(job: Job, labels: Labels, made: Summary, search: Search) -> tuple[Selection, pa.Table]:
    """Select the k masks of highest score.

    The score is the error E, without the diversity term, or E times the agreement of the masks of
    an image. Ties go to the image_id that sorts first, so the selection does not depend on the
    sharding. Memory is bounded by k and some shards.

    Args:
        job: the run, which knows where the images are, and the settings.
        labels: the masks that it is made among.
        made: the summary of the step that made them.
        search: who goes through the shards.

    Returns:
        What was selected, and a table of schema SELECTION.

    Raises:
        StepMissingError: no image has a mask.
        SettingsError: the table of groups cannot be used, or the library of hashes is missing.
    """
    settings = job.settings.topk
    k = settings.k if settings.fraction is None else round(settings.fraction * made.ok)
    has_agreement = made.facts.get("first_masks", 1) > 1
    query = Query(
        labels=labels,
        settings=settings,
        k=k,
        by="error"
        if SCORES[settings.by].compares_first_masks and not has_agreement
        else settings.by,
        ids_at_once=(settings.per_group is not None or k > made.num_shards),
    )
    left_out = LeftOut()
    if settings.diversity_bits is None:
        found = search(query)
        best = found.best
    else:
        found = search(replace(query, k=POOL * k))
        best, left_out = without_near_duplicates(
            job.run,
            found.best.sort_by(ORDER),
            settings.diversity_bits,
            job.settings.decode,
            job.settings.web,
        )
        best = first_rows(best, k)
    return _selection(query, found, best, left_out)


def _selection(
    query: Query, found: Candidates, best: pa.Table, left_out: LeftOut
) -> tuple[Selection, pa.Table]:
    score = best["score"].to_numpy()
    selection = Selection(
        num_images=found.num_images,
        num_undefined=found.num_undefined,
        num_outside=found.num_outside,
        num_near_duplicates=left_out.num_near_duplicates,
        num_gone=left_out.num_gone,
        num_unlisted=found.num_unlisted,
        num_unknown_ids=open_lists(query.settings).num_ids - found.num_listed,
        num_selected=len(best),
        cut=float(score[-1]) if len(best) else None,
        histogram=found.histogram.tolist(),
        histogram_selected=error_histogram(score).tolist(),
        by=query.by,
    )
    rank = pa.array(np.arange(len(best), dtype=np.int32))
    table = best.select(NO_ROWS.column_names).append_column("rank", rank).cast(schema.SELECTION)
    return selection, table
