"""A program that trains by Ray Train, to be killed or to lose nodes: python -m ... RUN SETTINGS."""

import json
import os
import sys

from iem_batch.exec.settings import ClusterSettings

from iem_batch.exec.ray.cluster import cluster
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.steps.train.on_ray import train_ray

ATTENTIVE = ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
"""Lets Ray look at reports more often than every two seconds."""

IMPATIENT = ("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
"""Lets Ray wait less than a minute for as many workers as there were before a node was lost."""

SEGNET = SegNetSettings(width=8, num_blocks=1)

if __name__ == "__main__":
    os.environ.update([ATTENTIVE, IMPATIENT])
    settings = TrainSettings(**json.loads(sys.argv[2]))
    with cluster(ClusterSettings()):
        train_ray(RunFolder(sys.argv[1]), SEGNET, settings, print)
