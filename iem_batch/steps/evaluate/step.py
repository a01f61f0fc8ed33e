"""The step `evaluate`: masks of a run against ground truth, beside baselines.

B = images of a shard that have a truth, N = those of them a method has a mask for, M = scores:
those of `METRICS` as labelled, then of the better polarity.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.errors import MaskError, SettingsError
from iem_batch.exec.step import ShardOutput, WholeStep
from iem_batch.job import Job
from iem_batch.mask_files.coco import CocoMasks
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.processes import num_cpus
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary, require_summary
from iem_batch.run.plan import read_plan
from iem_batch.sources import WebSettings, open_source
from iem_batch.steps.evaluate.evaluation import (
    PER_IMAGE,
    SUMMARY,
    Evaluation,
    read_evaluation,
)
from iem_batch.steps.evaluate.methods import (
    Masks,
    baselines,
    images_with_masks,
    learned_images,
    stored_masks,
)
from iem_batch.steps.evaluate.scoring import SeenShares, Truths, Yardstick
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.table import notes, rich_tables, verdict
from iem_batch.steps.evaluate.totals import Scored, Total, method_scores, scores_table
from iem_batch.steps.fuse.choose import dataset_side
from iem_batch.steps.fuse.step import fused_so_far
from iem_batch.steps.lines import engine_notes
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count

NONE = pa.array([], pa.string())


def build(job: Job) -> WholeStep:
    """Make the step of a job.

    Raises:
        SettingsError: there is no truth.
        StepMissingError: the run has no masks.
        MaskError: the truth cannot be used.
        BackendUnavailableError: a package is missing.
    """
    settings, decode = job.settings.evaluate, job.settings.decode
    if settings.truth is None:
        raise SettingsError(
            "evaluate needs --truth, a folder of masks named like the images, COCO JSON, Parquet, "
            "or a data set that --evaluate.format names"
        )
    shards = fused_so_far(job.run)
    takes_one = job.settings.fuse.method in ("dataset", "image")  # which is what fuse has
    side = None if takes_one else dataset_side(require_summary(job.run, "segment"))
    truth = open_masks(settings.truth, settings, decode)
    if isinstance(truth, CocoMasks) and truth.num_without_mask:
        print(f"evaluate: {truth.num_without_mask:,} annotations without a mask are passed over")
    truths = Truths(
        truth=truth,
        ignore=None if settings.ignore is None else MaskFolder(settings.ignore, decode),
        decode=decode,
        at=settings.at,
    )
    places = [job.place_of(number) for number in range(1, job.round + 1)]
    learned = learned_images(places[-1]) if settings.images == "unlearned" else NONE

    def compute() -> ShardOutput:
        found, tables = evaluate(places, shards, side, truths, learned, settings, job.settings.web)
        return ShardOutput(
            shard=0,
            tables={**tables, SUMMARY: (json.dumps(asdict(found), indent=1) + "\n").encode()},
            planned=found.num_images,
            ok=found.num_images,
            quarantined=0,
        )

    return WholeStep(
        name="evaluate",
        run=job.run,
        place=job.run,
        depends_on={"evaluate": asdict(settings)},
        compute=compute,
    )


def finish(job: Job, built: WholeStep, summary: Summary) -> None:
    """Print the scores, and those of the runs that the job shows beside its own."""
    from rich.console import Console

    from iem_batch.steps.evaluate.compare import compare, comparison_table

    evaluation = read_evaluation(job.run)
    assert evaluation is not None
    print(f"evaluate: {verdict(evaluation)}")
    for table in rich_tables(evaluation):
        Console().print(table)
    print(*notes(evaluation), *engine_notes(job), sep="\n")
    if evaluation.num_in_truth is not None:
        with_truth = count(evaluation.num_in_truth, "image")
        print(f"evaluate: {evaluation.num_images:,} of {with_truth} with truth")
    print(f"evaluate: -> {job.run.url_of(SUMMARY)}, image by image in {job.run.url_of(PER_IMAGE)}")
    if job.against:
        others = [RunFolder(url) for url in job.against]
        Console().print(comparison_table(compare(job.run, others)))


def evaluate(
    places: Sequence[RunFolder],
    shards: Sequence[int],
    side: int | None,
    truths: Truths,
    learned: pa.Array,
    settings: EvaluateSettings,
    web: WebSettings,
) -> tuple[Evaluation, dict[str, pa.Table]]:
    """Score all masks of a run against ground truth.

    Shards are read one by one, and truth image by image; of an image only its scores are kept.

    Args:
        places: the run and its later rounds; whatever makes masks is scored where it is.
        shards: those of fuse that are done.
        side: the first mask whose masks of segment are scored as well; None scores none.
        truths: the truth and how it is used.
        learned: ids of images that are left out.
        settings: whether there are baselines, and how sure the means are.
        web: how the photos of a list of URLs are asked for.

    Returns:
        The means, and the scores of each image: file -> table of schema EVALUATION.

    Raises:
        MaskError: no image has a truth, or one of them cannot be used; the message names it.
    """
    run, truth = places[0], truths.truth
    source = open_source(read_plan(run).source_url, web) if settings.baselines else None
    num_rows = 0
    totals: dict[str, Total] = {}
    tables: dict[str, pa.Table] = {}
    seen = SeenShares()
    for shard in shards:
        rows = images_with_masks(places, shard)
        rows = rows.filter(pc.invert(pc.is_in(rows["image_id"], learned)))
        num_rows += len(rows)
        has_truth = [truth.has(image_id) for image_id in rows["image_id"].to_pylist()]
        known = rows.filter(pa.array(has_truth, pa.bool_()))
        if not len(known):
            continue
        methods = list(stored_masks(places, shard, known, side))
        if source is not None:
            methods += baselines(run, shard, known, source, truths.decode)
        found = _score(methods, known, truths, seen)
        tables[layout.part(PER_IMAGE, shard)] = scores_table(found)
        for method, scores in found.items():
            totals.setdefault(method, Total()).add(scores)
    num_images = max((len(total.image_id) for total in totals.values()), default=0)
    if not num_images:
        raise _no_truth(run, shards[0], truth, settings)
    labels = totals["fuse"].iou_of if totals["fuse"].image_id else {}
    evaluation = Evaluation(
        truth_url=truth.url,
        ignore_url=None if truths.ignore is None else truths.ignore.url,
        num_images=num_images,
        num_without_truth=num_rows - num_images,
        seen_pixels=seen.pixels,
        seen_foreground=seen.foreground,
        methods=[
            method_scores(name, total, labels, settings)
            for name, total in totals.items()
            if total.image_id
        ],
        num_in_truth=truth.num_images,
        settings=settings,
    )
    return evaluation, tables


def _score(
    methods: list[Masks], known: pa.Table, truths: Truths, seen: SeenShares
) -> dict[str, Scored]:
    """Score all methods, image by image in threads, as GrabCut takes most of the time.

    An image of which no pixel counts is left out.
    """
    found = {masks.method: Scored() for masks in methods}
    keys = [known[name].to_pylist() for name in ("image_id", "width", "height")]
    yardsticks = (truths.yardstick(i, w, h, seen) for i, w, h in zip(*keys, strict=True))
    scores = map_ahead(
        partial(_score_image, methods),
        range(len(known)),
        yardsticks,
        num_threads=num_cpus(),
    )
    for b, (image_id, score_of) in enumerate(zip(keys[0], scores, strict=True)):
        for masks in methods:
            if masks.method in score_of:
                scored = found[masks.method]
                scored.image_id.append(image_id)
                scored.error.append(masks.error[b])
                scored.score.append(score_of[masks.method])
    return found


def _score_image(
    methods: list[Masks], b: int, yardstick: Yardstick | None
) -> dict[str, NDArray[np.float64]]:
    """Score the masks of an image: method -> scores, without methods that have none."""
    if yardstick is None:
        return {}
    mask_of = {masks.method: masks.mask_of(b) for masks in methods}
    return {
        method: yardstick.score(mask_SS)
        for method, mask_SS in mask_of.items()
        if mask_SS is not None
    }


def _no_truth(
    run: RunFolder, shard: int, truth: MaskFiles, settings: EvaluateSettings
) -> MaskError:
    if settings.images == "unlearned":
        return MaskError(
            f"no image that SegNet has not learned has a mask in {truth.url}; export.val_share "
            "sets labels apart that it does not learn, or give --evaluate.images=all"
        )
    image_id = run.read_table(layout.part("fuse", shard), ["image_id"])["image_id"]
    wanted = f"image {image_id[0].as_py()}" if len(image_id) else "no image of the first shard"
    return MaskError(
        f"no image of {run.url} has a mask in {truth.url}; masks are named like their images, with "
        f"any extension. The run has {wanted}, the truth has {truth.example()}"
    )
