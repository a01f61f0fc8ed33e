"""What a training is given, wherever it runs, and where it keeps what it has learned so far."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch

from iem_batch.errors import StorageError
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, Training, begin_training
from iem_batch.steps.train import layout
from iem_batch.steps.train.curves import event_file
from iem_batch.steps.train.pair_files import PairFiles

EpochProgress = Callable[[EpochRecord | Collapse], None]
"""Called with the record of each epoch when it is done, and with a collapse before that."""


@dataclass(frozen=True, kw_only=True)
class TrainWork:
    """A training; it is pickled to every worker."""

    place: RunFolder
    """The round it belongs to, on storage that every worker reaches."""
    key: str
    """Of its settings and its corpus: names the checkpoint."""
    segnet: SegNetSettings
    settings: TrainSettings
    """With the number of epochs resolved, and auto patience where too few labels are held back."""
    files: PairFiles
    """What is learned."""
    held_back: PairFiles | None
    """What is not, and only compared with; None where nothing is held back."""

    def begin(self, device: torch.device) -> Training:
        """Begin, or go on from the last checkpoint if there is one that is whole.

        A full disk or a power cut can damage it; then the training begins again, and says so.

        Args:
            device: where it is to run.

        Raises:
            SettingsError: the network cannot be made.
            StorageError: the checkpoint cannot be read.
        """
        name = layout.checkpoint(self.key)
        training = begin_training(self.segnet, self.settings, device)
        try:
            data = self.place.read_bytes(name)
        except FileNotFoundError:
            return training
        try:
            training.resume(data)
        except StorageError as error:
            told = f"train: {error}: {self.place.url_of(name)}; training begins again"
            print(told, file=sys.stderr, flush=True)
            return begin_training(self.segnet, self.settings, device)
        return training

    def keep(self, training: Training) -> None:
        """Write a checkpoint, which replaces the one before, and the curves so far."""
        self.place.write_bytes(layout.checkpoint(self.key), training.checkpoint())
        self.place.write_bytes(layout.CURVES, event_file(training.history))
