"""What the file of the trained network says of how it came about."""

from iem_batch.config import Settings
from iem_batch.job import Job
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import ModelRecord, TrainingSummary


def model_record(job: Job, num_pairs: int, result: EpochRecord) -> ModelRecord:
    """Make the record of the network that a job has trained.

    Args:
        job: in its round.
        num_pairs: images with the label that was learned.
        result: the epoch that the weights are of.
    """
    settings = job.settings
    return ModelRecord(
        segnet=settings.segnet,
        decode=settings.decode,
        threshold=settings.predict.threshold,
        training=TrainingSummary(
            pairs=num_pairs,
            epochs=result.epoch,
            loss=result.loss,
            iou=result.iou,
            held_back_iou=result.val_iou,
            round=job.round,
        ),
        procedure=procedure(settings, job.round),
    )


def procedure(settings: Settings, round_number: int) -> tuple[str, ...]:
    """Say in words how the labels were made: the names of the steps and what decided.

    Args:
        settings: of the run.
        round_number: of the training, counted from 1.
    """
    decode, iem, topk, train = settings.decode, settings.iem, settings.topk, settings.train
    sides = ", ".join(f"{100 * share:g} %" for share in settings.segment.init_shares)
    masks = (
        "Inpainting Error Maximization (arXiv 2012.07287) on each photo alone, on "
        f"{iem.colors} colours, from centred squares of {sides} of the side"
    )
    if (engine := settings.segment.engine) is not None:
        masks = f"{engine} on each photo, instead of IEM"
    method = settings.fuse.method_for(first_masks=engine is None)
    amount = f"the {topk.k:,} images" if topk.fraction is None else f"{topk.fraction:.0%} of images"
    labels = "fuse" if round_number == 1 else f"{topk.masks} of round {round_number - 1}"
    augmented = [
        text
        for text, is_used in (
            ("mirrored", train.horizontal_flips),
            ("cropped", train.random_crops > 0),
            ("recoloured", train.color_jitter > 0),
        )
        if is_used
    ]
    return (
        f"photos: brought to {decode.size_px} x {decode.size_px} pixels by {decode.fit}, "
        f"{decode.resize}",
        f"segment: {masks}",
        f"fuse: the masks of a photo made one, by {method}",
        f"topk: {amount} of highest score, {topk.by}, with the masks of {labels}",
        f"export: foreground {settings.export.foreground}",
        f"train: cross-entropy with these masks, photos {', '.join(augmented) or 'as they are'}, "
        f"seed {train.seed}",
    )
