"""Trajectories in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from surfaceviz.records.trajectory import Trajectory


def trajectory_rows(path: Trajectory) -> list[tuple[str, str]]:
    """Return lines about a trajectory: its iterates, distances, variances and losses, as far as they are known."""
    rows = [("path", _iterates(path))]
    if (variance := variance_words(path)) is not None:
        rows.append(("variance", variance))
    if (losses := _losses(path)) is not None:
        rows.append(("losses", losses))
    return rows


def _iterates(path: Trajectory) -> str:
    runs = f" of {len(path.paths)} trainings" if path.run is not None else ""
    found = f"{len(path.step)} iterates{runs}"
    if not np.isfinite(path.distance).any():
        return found
    k = int(np.nanargmax(path.distance))
    length = float(np.hypot(np.linalg.norm(path.coordinates[k]), path.distance[k]))
    return (
        f"{found}; at most {path.distance[k]:.4g} off the plane, at {_place(path, k)}, which is {length:.4g} from theta"
    )


def _place(path: Trajectory, k: int) -> str:
    """Return the step of an iterate, and its training where there are several."""
    step = f"step {path.step[k]:g}"
    if path.run is None:
        return step
    number = int(path.run[k])
    return f"{step} of {path.names[number] if number < len(path.names) else f'training {number + 1}'}"


def variance_words(path: Trajectory) -> str | None:
    """Return the explained variance next to that of a random walk, in words; None where it is not known."""
    known = path.provenance
    if "explained_variance" not in known or "random_walk" not in known:
        return None
    how = "around the mean" if known.get("centred") else "around theta"
    return (
        f"{share(float(known['explained_variance']))} of the variance {how} lies in the plane; of a random walk of "
        f"the same length {share(float(known['random_walk']))}"
    )


def share(fraction: float) -> str:
    """Return a share in per cent, rounded down, so that 100% is all of it.

    >>> share(0.99996), share(1.0), share(0.8731)
    ('99.9%', '100%', '87.3%')
    """
    if fraction >= 1 - 1e-12:  # but for rounding
        return "100%"
    return f"{np.floor(1000 * fraction) / 10:.1f}%"


def _losses(path: Trajectory) -> str | None:
    """Return the largest difference of the loss of a projection to that of its iterate; None where it is not known."""
    own, projected = path.own_loss, path.projected_loss
    if own is None or projected is None:
        return None
    gap = projected - own
    if not np.isfinite(gap).any():
        return None
    k = int(np.nanargmax(np.where(np.isfinite(gap), np.abs(gap), np.nan)))
    return (
        f"those of the projections differ from those of the iterates by at most {abs(gap[k]):.3g}, at "
        f"{_place(path, k)}: {own[k]:.4g} of the iterate, {projected[k]:.4g} of its projection"
    )
