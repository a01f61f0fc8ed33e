"""How sure a mean over images is: percentile intervals of the bootstrap.

B = images, M = metrics, R = resamples.
"""

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
