"""Intervals by resampling."""
RESAMPLES = 4000


def resampled_means(values, rng):
    """[RESAMPLES], of as many values as there are, drawn with replacement."""
    return values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
