"""Where a training lies in its place."""

from iem_batch.model_file import NAME

WEIGHTS = f"train/{NAME}"
HISTORY = "train/history.json"
CURVES = "train/events.out.tfevents.0.iem_batch"


def checkpoint(key: str) -> str:
    """Name the checkpoint of an unfinished training.

    Args:
        key: of its settings, so that no other training resumes from it.
    """
    return f"_run/train/{key}.pt"
