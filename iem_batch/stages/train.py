"""The step `train`: SegNet on the exported pairs, here in this process.

`iem_batch.distributed.train` does the same with several workers; both leave the same files.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import SettingsError, StepMissingError, StorageError
from iem_batch.segnet.order import batches, visits, windows
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import Batch, EpochRecord, Training, begin_training, train_epoch
from iem_batch.segnet.weights import save_weights
from iem_batch.shards.step import outputs_digest

# B = images, H, W = pixels.

TRAIN_FOLDER = "_run/train"
"""Where an unfinished training keeps its checkpoints; gone when it has finished."""

EpochProgress = Callable[[EpochRecord], None]
"""Called with the record of each epoch when it is done."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """All pairs to train on, in the order of the files."""

    image_BHW3: NDArray[np.uint8]
    mask_BHW: NDArray[np.bool_]
    """True is foreground."""


def read_corpus(run: RunFolder) -> Corpus:
    """Read all of corpus/ into memory.

    Raises:
        StepMissingError: there is no corpus.
        SettingsError: there is nothing to learn from it: no pair, or no mask with two sides.
        StorageError: a picture is damaged or of another size than the others.
    """
    run.require(run_folder.part("corpus", 0), "export")
    images: list[NDArray[np.uint8]] = []
    masks: list[NDArray[np.bool_]] = []
    for name in run.names("corpus"):
        if name.startswith("val-"):  # set apart for validation
            continue
        table = run.read_table(f"corpus/{name}", columns=["image_id", "image", "mask"])
        for row in table.to_pylist():
            image_HW3, mask_HW = _decode_pair(run, row)
            _check_size(run, row["image_id"], image_HW3, mask_HW, images)
            images.append(image_HW3)
            masks.append(mask_HW)
    if not any(mask_HW.any() and not mask_HW.all() for mask_HW in masks):
        found = f"{len(masks)} pairs, whose masks are all empty or full" if masks else "no pairs"
        raise SettingsError(
            f"SegNet cannot learn from {run.url_of('corpus')}: it has {found}; "
            "select other images with `iem-batch topk`"
        )
    return Corpus(image_BHW3=np.stack(images), mask_BHW=np.stack(masks))


def _decode_pair(
    run: RunFolder, row: dict[str, Any]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    try:
        return schema.decode_pixels(row["image"]["bytes"]), schema.decode_mask(row["mask"]["bytes"])
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise StorageError(
            f"{run.url_of('corpus')}: the picture or mask of {row['image_id']} is damaged: {error}"
        ) from error


def _check_size(
    run: RunFolder,
    image_id: str,
    image_HW3: NDArray[np.uint8],
    mask_HW: NDArray[np.bool_],
    before: list[NDArray[np.uint8]],
) -> None:
    shape = before[0].shape if before else (*mask_HW.shape, 3)
    if image_HW3.shape != shape or (*mask_HW.shape, 3) != shape:
        raise StorageError(
            f"{run.url_of('corpus')}: {image_id} has an image of shape {image_HW3.shape} and a "
            f"mask of {mask_HW.shape} where {shape} is needed; all pairs must have one size"
        )


def segnet_depends_on(
    run: RunFolder, segnet: SegNetSettings, settings: TrainSettings
) -> dict[str, Any]:
    """List what segnet/ depends on, for `RunFolder.begin_step`.

    Raises:
        StepMissingError: the corpus is not complete.
    """
    marks = run.marks("corpus", sorted(run.committed("corpus")))
    num_exported = sum(mark["planned"] for mark in marks)
    run.require(run_folder.TOPK, "topk")
    num_selected = len(run.read_table(run_folder.TOPK, columns=["rank"]))
    if num_exported != num_selected:
        raise StepMissingError(
            f"{run.url_of('corpus')} has {num_exported} of the {num_selected} selected pairs; "
            "run `iem-batch export` on it first"
        )
    decides = asdict(settings)
    del decides["checkpoint_every_epochs"]
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "segnet": asdict(segnet),
        "train": decides,
        "corpus": outputs_digest(run, "corpus", len(marks)),
    }


def training_key(depends_on: dict[str, Any]) -> str:
    """Name a training by what it depends on, so that no other resumes from its checkpoints."""
    return schema.checksum(json.dumps(depends_on, sort_keys=True).encode())[:16]


def train_local(
    run: RunFolder, segnet: SegNetSettings, settings: TrainSettings, progress: EpochProgress
) -> list[EpochRecord]:
    """Train in this process, whatever `num_workers` is, and write segnet/.

    An interrupted training goes on from its last checkpoint and ends with the same weights; a
    finished one is not repeated.

    Args:
        run: a run whose corpus/ is complete.
        segnet: the shape of the network.
        settings: how it is trained.
        progress: called after each epoch done here.

    Returns:
        One record for each epoch, also of those done before an interruption.

    Raises:
        StepMissingError: there is no complete corpus.
        SettingsError: SegNet cannot learn from the corpus.
        StorageError: the corpus or a checkpoint cannot be read, or nothing can be written.
    """
    finished = read_history(run)
    if finished is not None:
        return finished
    key = training_key(segnet_depends_on(run, segnet, settings))
    checkpoint = f"{TRAIN_FOLDER}/{key}/checkpoint.pt"
    image_BHW3, mask_BHW = corpus_tensors(read_corpus(run))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = begin_training(segnet, replace(settings, num_workers=1), device)
    if run.exists(checkpoint):
        training.resume(run.read_bytes(checkpoint))
    while not training.finished:
        progress(train_epoch(training, in_memory(image_BHW3, mask_BHW, training)))
        if training.checkpoint_due:
            run.write_bytes(checkpoint, training.checkpoint())
    return finish_training(run, training)


def in_memory(
    image_BHW3: torch.Tensor,
    mask_BHW: torch.Tensor,
    training: Training,
    rank: int = 0,
    num_workers: int = 1,
) -> Iterator[Batch]:
    """Give the batches of the epoch to come, of a corpus in memory."""
    settings, epoch = training.settings, len(training.history)
    rows = windows(len(image_BHW3), settings.shuffle_images)
    for window in visits(len(rows), settings.seed, epoch):
        for share in batches(rows[window], window, epoch, settings, rank, num_workers):
            row_N = torch.from_numpy(share.row_N)
            yield Batch(
                image_NHW3=image_BHW3[row_N],
                mask_NHW=mask_BHW[row_N],
                error_N=torch.ones(len(row_N)),
                row_N=row_N,
                num_images=share.num_images,
            )


def corpus_tensors(corpus: Corpus) -> tuple[torch.Tensor, torch.Tensor]:
    """View a corpus as tensors."""
    return torch.from_numpy(corpus.image_BHW3), torch.from_numpy(corpus.mask_BHW)


def read_history(run: RunFolder) -> list[EpochRecord] | None:
    """Read the records of a finished training; None if there is none."""
    if not run.exists(run_folder.WEIGHTS):
        return None
    return [EpochRecord(**record) for record in run.read_json(run_folder.HISTORY)]


def finish_training(run: RunFolder, training: Training) -> list[EpochRecord]:
    """Write segnet/, the weights last, and drop the checkpoints."""
    run.write_json(run_folder.HISTORY, [asdict(record) for record in training.history])
    run.write_bytes(run_folder.WEIGHTS, save_weights(training.result))
    run.delete(TRAIN_FOLDER)
    return training.history


def epoch_line(record: EpochRecord, num_epochs: int) -> str:
    """Put an epoch into a line for a person, with a warning if the network has collapsed."""
    line = (
        f"train: epoch {record.epoch}/{num_epochs}, loss {record.loss:.4f}, "
        f"IoU with the labels {record.iou:.3f}, {record.seconds:.1f} s"
    )
    if record.collapsed_to is None:
        return line
    return (
        f"{line}; WARNING: nearly every pixel is predicted {record.collapsed_to}. If this stays "
        "so, lower train.learning_rate, and see whether the masks agree on which side is foreground"
    )
