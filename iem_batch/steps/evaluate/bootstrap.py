"""How sure a mean over images is: percentile intervals of the bootstrap.

B = images, M = metrics, R = resamples.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

COVERAGE = 0.95
"""The share of samples of images whose mean lies in the interval."""


def resampled_means(
    score_BM: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Take the mean over images that are drawn anew, with repetition, again and again.

    The same seed draws the same images from as many, so that means of two methods over the same
    images can be subtracted.

    Args:
        score_BM: at least one image.
        resamples: how often.
        seed: decides which images.

    Returns:
        mean_RM: float64.
    """
    rng = np.random.default_rng(seed)
    num_images = len(score_BM)
    mean_RM = np.empty((resamples, score_BM.shape[1]))
    for mean_M in mean_RM:
        drawn = rng.integers(num_images, size=num_images)
        mean_M[:] = np.bincount(drawn, minlength=num_images) @ score_BM / num_images
    return mean_RM


def interval(score_BM: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Give the interval of the mean of each metric.

    Args:
        score_BM: at least one image; of one alone nothing is known, and both ends are its score.
        resamples: above 0.
        seed: decides which images are drawn.

    Returns:
        interval_2M: lower and upper end.
    """
    mean_RM = resampled_means(score_BM, resamples, seed)
    beyond = (1 - COVERAGE) / 2
    return np.asarray(np.quantile(mean_RM, [beyond, 1 - beyond], axis=0))


class Paired(NamedTuple):
    """Two scores of the same images."""

    other_mean: float
    """Mean of the second."""
    interval: list[float]
    """Of the mean of the first less the second: lower and upper end; empty with 0 resamples."""


def compare_paired(
    score_of: Mapping[str, float], other_of: Mapping[str, float], resamples: int, seed: int
) -> Paired:
    """Compare two scores image by image.

    Args:
        score_of: image_id -> the first; at least one image.
        other_of: image_id -> the second, of all these images and perhaps of others.
        resamples: 0 or more.
        seed: decides which images are drawn.
    """
    other = [other_of[image_id] for image_id in score_of]
    difference_B1 = np.array([list(score_of.values())]).T - np.array([other]).T
    ends = interval(difference_B1, resamples, seed)[:, 0].tolist() if resamples else []
    return Paired(other_mean=math.fsum(other) / len(other), interval=ends)
