import numpy as np

from iem_batch.steps.evaluate.bootstrap import interval, resampled_means


def test_interval_is_that_of_the_normal_law_for_many_images():
    """The mean of 400 draws of deviation 1 has a deviation of 1 / 20; of 4 times that, half."""
    score = np.random.default_rng(0).normal(0.5, 1, (400, 2)) * [1, 2]
    low, high = interval(score, 4000, 0)
    deviation = score.std(axis=0) / 20
    np.testing.assert_allclose(low, score.mean(axis=0) - 1.96 * deviation, atol=0.01)
    np.testing.assert_allclose(high, score.mean(axis=0) + 1.96 * deviation, atol=0.01)


def test_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = [
        low[0] <= 0.25 <= high[0]
        for low, high in (interval(rng.beta(1, 3, (50, 1)), 500, 0) for _ in range(300))
    ]
    assert 0.9 < np.mean(hits) < 0.98


def test_methods_are_resampled_alike():
    """Else the interval of a difference would be as wide as if the images were not the same."""
    score = np.random.default_rng(2).random((30, 1))
    means = resampled_means(score, 50, 7)
    np.testing.assert_allclose(resampled_means(score + 0.25, 50, 7) - means, 0.25)
    assert not np.array_equal(means, resampled_means(score, 50, 8))


def test_one_image():
    assert interval(np.array([[0.3]]), 10, 0).tolist() == [[0.3], [0.3]]
