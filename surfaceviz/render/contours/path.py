"""Models and trainings on a surface: theta, marked models, the path of the iterates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patheffects import withStroke

from surfaceviz.records import Slice, Trajectory
from surfaceviz.render import style
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_MANY = 60  # iterates above which not each is dotted
DISTANCE = "distance of the iterates from the plane"


def draw_marks(ax: Axes, surface: Slice) -> None:
    """Draw theta and the marked models, each with its name."""
    halo = {"markeredgecolor": "white", "markeredgewidth": scaled(0.8), "linestyle": "none", "zorder": 5}
    ax.plot([0], [0], marker="o", color=style.INK, markersize=scaled(5), label="theta", **halo)  # type: ignore[arg-type]
    for mark in surface.marks:
        x, y = mark.coordinates
        ax.plot([x], [y], marker="D", color=style.MARK, markersize=scaled(5.5), **halo)  # type: ignore[arg-type]
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
        to_left = x > np.mean(surface.axes[0])  # so that the name stays inside
        shift = scaled(6)
        ax.annotate(
            plain(mark.name), (x, y), xytext=(-shift if to_left else shift, shift), textcoords="offset points",
            fontsize="small", bbox=box, ha="right" if to_left else "left", zorder=6,
        )  # fmt: skip


def distance_norm(surfaces: Sequence[Slice]) -> Normalize | None:
    """Return the colours' scale of the distances of all trajectories; None where none is known."""
    known = [surface.trajectory.distance for surface in surfaces if surface.trajectory is not None]
    finite = [array[np.isfinite(array)] for array in known]
    if not any(len(array) for array in finite):
        return None
    highest = max(float(array.max()) for array in finite if len(array))
    return Normalize(0, highest if highest > 0 else 1)


def draw_trajectory(ax: Axes, trajectory: Trajectory, norm: Normalize | None) -> ScalarMappable | None:
    """Draw a training's path, its iterates coloured by their distance off the plane; return what a colour bar needs.

    The first iterate is a square. Distances that are not known leave the iterates white.

    Args:
        ax: the axes to draw on; their limits are kept.
        trajectory: 2-D.
        norm: of the distances.
    """
    halo = [withStroke(linewidth=scaled(2.6), foreground="white")]
    x, y = trajectory.coordinates.T
    fixed = {"scalex": False, "scaley": False}
    ax.plot(x, y, color=style.INK, linewidth=scaled(0.9), zorder=3.5, path_effects=halo, label="trajectory", **fixed)  # type: ignore[arg-type]
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MANY)).round().astype(int))
    known = norm is not None and bool(np.isfinite(trajectory.distance).any())
    colours = {"c": trajectory.distance[shown], "cmap": style.PATH_MAP, "norm": norm} if known else {"c": "white"}
    rim = {"edgecolors": style.INK, "linewidths": scaled(0.6), "zorder": 3.6, "plotnonfinite": False}
    limits = ax.get_xlim(), ax.get_ylim()
    dots = ax.scatter(x[shown], y[shown], s=scaled(3.6) ** 2, **colours, **rim)  # type: ignore[arg-type]
    first = (
        {**colours, "c": trajectory.distance[:1]} if known and np.isfinite(trajectory.distance[0]) else {"c": "white"}
    )
    ax.scatter(x[:1], y[:1], s=scaled(5.5) ** 2, marker="s", **first, **rim)  # type: ignore[arg-type]
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    return dots if known else None
