"""Training in this process."""

import torch

from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.training import Training, train_epoch
from iem_batch.steps.train.pair_stream import labelled_pairs, open_stream
from iem_batch.steps.train.work import EpochProgress, TrainWork


def train_here(work: TrainWork, progress: EpochProgress) -> Training:
    """Train in this process, whatever `num_workers` is.

    An interrupted training goes on from its last checkpoint and ends with the same weights.

    Args:
        work: the training.
        progress: called after each epoch done here.

    Raises:
        SettingsError: it needs a larger cache.
        StorageError: the corpus or a checkpoint cannot be read, or nothing can be written.
    """
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = work.begin(device)
    threads = torch.get_num_threads()
    with open_stream(work.files, work.settings, num_threads=threads) as stream:
        while not training.finished:
            batches = stream.batches(len(training.history))
            held_back = labelled_pairs(work.held_back, num_threads=threads)
            progress(train_epoch(training, batches, held_back=held_back, on_collapse=progress))
            if training.checkpoint_due:
                work.keep(training)
    return training
