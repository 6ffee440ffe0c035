"""The plane of a path of iterates, computed from their Gram matrix alone, and that of a random walk.

Rows are d_t = theta_t - theta with theta the iterate at the origin, G = (d_s . d_t). A direction is a combination of
rows, v_k = sum_t W_tk d_t, so that coordinates, explained variances and directions follow from G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray

Indices = NDArray[np.intp]
_RANK = 1e-10  # of the largest eigenvalue of G: below it a direction is rounding; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneRule:
    """The rule by which a path determines a plane.

    Attributes:
        count: 1 for a line, 2 for a plane.
        rows: indices of the iterates whose principal directions span the plane.
        centred: whether these rows are centred on their mean first.
        through: indices of two iterates; the plane passes through them and the origin instead.
    """

    count: int
    rows: Indices
    centred: bool = False
    through: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPlane:
    """A plane through the origin of a path.

    Attributes:
        weights: W: the unit directions as combinations of the rows, (t, k).
        coordinates: least-squares coordinates of the rows in the plane, (t, k).
        explained: share of the variance of all rows along each direction, (k,).
    """

    weights: FloatArray
    coordinates: FloatArray
    explained: FloatArray


def plane_of(gram: FloatArray, rule: PlaneRule) -> PathPlane | None:
    """Return the plane that a rule finds for a Gram matrix; None where the iterates do not span it.

    Uncentred, the principal plane has the least squared distance to the rows of all planes through the origin. The
    sign of a direction is such that the row farthest along it has a positive coordinate.

    Args:
        gram: G, (t, t).
        rule: how the plane is found.

    Source: the rule is ours; Li et al., arXiv 1712.09913, section 7.2, centre the rows.
    """
    weights = _principal(gram, rule) if rule.through is None else _through(gram, rule.through, rule.count)
    if weights is None:
        return None
    projections = gram @ weights  # of the rows on the directions, which are orthonormal up to rounding
    coordinates = np.linalg.solve(weights.T @ projections, projections.T).T
    farthest = np.abs(coordinates).argmax(axis=0)
    signs = np.sign(coordinates[farthest, np.arange(rule.count)])
    coordinates = coordinates * signs
    return PathPlane(
        weights=weights * signs, coordinates=coordinates, explained=_explained(gram, coordinates, centred=rule.centred)
    )


def _principal(gram: FloatArray, rule: PlaneRule) -> FloatArray | None:
    """Return W = u / sqrt(lambda) for the leading eigenpairs of the Gram matrix of the rule's rows."""
    part = gram[np.ix_(rule.rows, rule.rows)]
    if rule.centred:
        part = _centred(part)
    values, vectors = np.linalg.eigh(part)
    values, vectors = values[::-1][: rule.count], vectors[:, ::-1][:, : rule.count]
    if len(values) < rule.count or not values[0] > 0 or values[-1] <= _RANK * values[0]:
        return None
    weights = np.zeros((len(gram), rule.count))
    weights[rule.rows] = vectors / np.sqrt(values)
    return weights


def _through(gram: FloatArray, through: tuple[int, int], count: int) -> FloatArray | None:
    """Return W of the unit direction toward the first of two rows, and of the second's part orthogonal to it."""
    first, second = np.eye(len(gram))[list(through)]
    length = float(first @ gram @ first)
    if length <= 0:
        return None
    across = second - (first @ gram @ second) / length * first
    height = float(across @ gram @ across)
    if count == 1:
        return np.asarray((first / np.sqrt(length))[:, None])
    if height <= _RANK * float(second @ gram @ second):
        return None
    return np.stack([first / np.sqrt(length), across / np.sqrt(height)], axis=1)


def _centred(gram: FloatArray) -> FloatArray:
    """Return the Gram matrix of the rows minus their mean."""
    means = gram.mean(axis=0)
    return np.asarray(gram - means - means[:, None] + means.mean())


def _explained(gram: FloatArray, coordinates: FloatArray, *, centred: bool) -> FloatArray:
    """Return the share of the squared norm of the rows, or of their variance, along each direction."""
    if centred:
        return np.asarray(((coordinates - coordinates.mean(axis=0)) ** 2).sum(axis=0) / np.trace(_centred(gram)))
    return np.asarray((coordinates**2).sum(axis=0) / np.trace(gram))


def random_walk_gram(lengths: Sequence[int], origin: int) -> FloatArray:
    """Return the expected Gram matrix of random walks of ``lengths`` iterates, relative to the iterate ``origin``.

    The walks have independent steps of equal length and one start, in infinitely many dimensions, where the Gram
    matrix is its expectation: position s and t of one walk have the product min(s, t), those of two walks 0. For one
    walk and its last iterate the eigenvalues are 1 / (2 - 2 cos((2 k - 1) pi / (2 T - 1))).

    Source: Antognini & Sohl-Dickstein, arXiv 1806.08805, section 3, for centred rows.

    >>> random_walk_gram([3], 2)
    array([[2., 1., 0.],
           [1., 1., 0.],
           [0., 0., 0.]])
    """
    walk = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    products = np.minimum.outer(step, step) * np.equal.outer(walk, walk).astype(np.float64)
    here = products[origin]
    return np.asarray(products - here - here[:, None] + here[origin])


def random_walk_share(lengths: Sequence[int], origin: int, rule: PlaneRule) -> float:
    """Return the share of the variance of random walks that lies in the plane which the same rule finds for them."""
    plane = plane_of(random_walk_gram(lengths, origin), rule)
    return 1.0 if plane is None else float(plane.explained.sum())
