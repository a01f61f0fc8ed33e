"""Trainings whose epochs a test is told of, here or by Ray Train.

As a program it trains by Ray Train, to be killed or to lose nodes: python -m ... RUN SETTINGS.
"""

import json
import os
import sys
from typing import Any

import pytest

from iem_batch.exec.executor import Executor
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.ray.executor import RayExecutor
from iem_batch.exec.settings import ClusterSettings
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, Training
from iem_batch.steps.do import do
from iem_batch.steps.train import layout, local, on_ray
from iem_batch.steps.train.work import EpochProgress, TrainWork
from tests.steps.jobs import job_at

ATTENTIVE = ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
"""Lets Ray look at reports more often than every two seconds."""

IMPATIENT = ("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
"""Lets Ray wait less than a minute for as many workers as there were before a node was lost."""

SEGNET = SegNetSettings(width=8, num_blocks=1)

FOLDER = "_run/train"
"""Where checkpoints are."""


def training_job(
    run: RunFolder, settings: TrainSettings, executor: Executor, *, overwrite: bool = False
) -> Job:
    """Make the job of a training."""
    job = job_at(run, overwrite=overwrite, segnet=SEGNET, train=settings)
    return Job(run=run, settings=job.settings, executor=executor, overwrite=overwrite)


def train_local(
    run: RunFolder, settings: TrainSettings, progress: EpochProgress, *, overwrite: bool = False
) -> list[EpochRecord]:
    """Do the step in this process; gives the history that is stored then."""
    job = training_job(run, settings, LocalExecutor(), overwrite=overwrite)
    original = local.train_here

    def train(work: TrainWork, show: EpochProgress) -> Training:
        return original(work, progress)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "train_here", train)
        do(job, "train")
    return history(run)


def train_ray(
    run: RunFolder, settings: TrainSettings, progress: EpochProgress
) -> list[EpochRecord]:
    """Do the step by Ray Train; gives the history that is stored then."""
    original = on_ray.train_on_ray

    def train(work: TrainWork, show: EpochProgress, *others: Any) -> Training:
        return original(work, progress, *others)

    with pytest.MonkeyPatch.context() as patch, RayExecutor(ClusterSettings()) as executor:
        patch.setattr(on_ray, "train_on_ray", train)
        do(training_job(run, settings, executor), "train")
    return history(run)


def history(run: RunFolder) -> list[EpochRecord]:
    """Read the history of a finished training."""
    return [EpochRecord(**record) for record in run.read_json(layout.HISTORY)]


if __name__ == "__main__":
    os.environ.update([ATTENTIVE, IMPATIENT])
    train_ray(RunFolder(sys.argv[1]), TrainSettings(**json.loads(sys.argv[2])), print)
