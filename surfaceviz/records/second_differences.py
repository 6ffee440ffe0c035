"""Second differences of sampled functions."""

from __future__ import annotations

import math

from surfaceviz.records.arrays import FloatArray


def second_difference(x: FloatArray, y: FloatArray, i: int) -> float:
    """Return the second derivative of y(x) at x[i] by its two neighbours; NaN at an end.

    2 [(y_{i+1} - y_i) / h_+ - (y_i - y_{i-1}) / h_-] / (h_- + h_+), with the steps h_- and h_+ to either side.

    >>> import numpy as np
    >>> round(second_difference(np.array([-1.0, 0.0, 0.5]), 3 * np.array([1.0, 0.0, 0.25]), 1), 12)
    6.0

    Args:
        x: rising, (n,).
        y: (n,).
        i: index of the point.
    """
    if not 0 < i < len(x) - 1:
        return math.nan
    before, after = x[i] - x[i - 1], x[i + 1] - x[i]
    return float(2 * ((y[i + 1] - y[i]) / after - (y[i] - y[i - 1]) / before) / (before + after))
