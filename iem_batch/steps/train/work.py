"""What a training is given, wherever it runs, and where it keeps what it has learned so far."""

from collections.abc import Callable
from dataclasses import dataclass

from iem_batch.run.folder import RunFolder
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, Training
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

    def resume(self, training: Training) -> None:
        """Go on from the last checkpoint, if there is one.

        Raises:
            StorageError: it cannot be read, or is damaged.
        """
        try:
            training.resume(self.place.read_bytes(layout.checkpoint(self.key)))
        except FileNotFoundError:
            return

    def keep(self, training: Training) -> None:
        """Write a checkpoint, which replaces the one before, and the curves so far."""
        self.place.write_bytes(layout.checkpoint(self.key), training.checkpoint())
        self.place.write_bytes(layout.CURVES, event_file(training.history))
