"""The batches of a corpus that is two tensors."""

from collections.abc import Iterator

import torch
from torch import Tensor

from iem_batch.segnet import order
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.training import Training


def batches(
    training: Training, image_BHW3: Tensor, mask_BHW: Tensor, rank: int = 0, num_workers: int = 1
) -> Iterator[Batch]:
    """Give a worker's share of each batch of the epoch to come."""
    settings, epoch = training.settings, len(training.history)
    windows = order.windows(len(image_BHW3), settings.shuffle_images)
    for window in order.visits(len(windows), settings.seed, epoch):
        for share in order.batches(windows[window], window, epoch, settings, rank, num_workers):
            row_N = torch.from_numpy(share.row_N)
            yield Batch(
                image_NHW3=image_BHW3[row_N],
                mask_NHW=mask_BHW[row_N],
                row_N=row_N,
                num_images=share.num_images,
            )
