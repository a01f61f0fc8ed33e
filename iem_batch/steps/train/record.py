"""What the file of the trained network says of how it came about."""

from iem_batch.job import Job
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import ModelRecord, TrainingSummary
from iem_batch.steps.procedure import procedure


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
        procedure=_procedure(job),
    )


def _procedure(job: Job) -> tuple[str, ...]:
    """Say in words how the labels were made and learned: the steps and what decided."""
    train = job.settings.train
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
        *(f"{step}: {how}" for step, how in procedure(job).items()),
        f"train: cross-entropy with these masks, photos {', '.join(augmented) or 'as they are'}, "
        f"seed {train.seed}",
    )
