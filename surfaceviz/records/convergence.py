"""The convergence of eigenvalues: the one definition for searches, records, maps and layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def has_converged(values: ArrayLike, residuals: ArrayLike, *, rtol: float, norm: ArrayLike) -> NDArray[np.bool_]:
    """Return whether eigenvalues have converged: residual <= rtol |lambda|, or rtol ||H|| where |lambda| is below that.

    A residual ||H v - lambda v|| of a unit vector v is the largest distance of lambda from an eigenvalue of H.

    >>> has_converged([2.0, 1e-5, 0.1], [1e-3, 1e-3, 1e-3], rtol=1e-3, norm=2.0)
    array([ True,  True, False])
    """
    size, error, largest = np.abs(values), np.asarray(residuals), np.asarray(norm)
    return np.asarray((error <= rtol * size) | ((size <= rtol * largest) & (error <= rtol * largest)))
