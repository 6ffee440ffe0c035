"""Models and trainings on a surface: theta, marked models, the path of the iterates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

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
    """Draw the paths of trainings, iterates coloured by their distance off the plane; return what a colour bar needs.

    The first iterate is a square. Of several trainings, each has a line of its own colour. Distances that are not known
    leave the iterates white.

    Args:
        ax: the axes to draw on; their limits are kept.
        trajectory: 2-D.
        norm: of the distances.
    """
    limits = ax.get_xlim(), ax.get_ylim()
    dots = None
    for number, path in enumerate(trajectory.paths):
        dots = _draw_path(ax, path, norm, colour=run_colour(number)) or dots
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    return dots


def path_legend(surfaces: Sequence[Slice]) -> list[Line2D]:
    """Return the entries of a legend for trainings: one, or one for each where a slice has several."""
    found = [surface.trajectory for surface in surfaces if surface.trajectory is not None]
    names = max((run_names(path) for path in found), key=len, default=())
    labels = names if len(names) > 1 else ("training, from its start",) * len(names)
    style_ = {"marker": "s", "markerfacecolor": "white", "markersize": scaled(4.5), "linewidth": scaled(0.9)}
    return [Line2D([], [], color=run_colour(k), label=label, **style_) for k, label in enumerate(labels)]  # type: ignore[arg-type]


def run_names(trajectory: Trajectory) -> tuple[str, ...]:
    """Return short names of trainings: the last parts of their names, or numbers where they are not known."""
    names = trajectory.names
    if len(names) != len(trajectory.paths):
        return tuple(f"training {k + 1}" for k in range(len(trajectory.paths)))
    last = [name.rstrip("/").rpartition("/")[2] for name in names]
    return tuple(plain(name) for name in (last if len(set(last)) == len(last) else names))


def run_colour(number: int) -> str:
    """Return the colour of a training in a plane of several ones."""
    return style.RUNS[number % len(style.RUNS)]


def _draw_path(ax: Axes, path: Trajectory, norm: Normalize | None, *, colour: str) -> ScalarMappable | None:
    """Draw the path of one training; return its dots, if they are coloured."""
    halo = [withStroke(linewidth=scaled(2.6), foreground="white")]
    x, y = path.coordinates.T
    fixed = {"scalex": False, "scaley": False}
    ax.plot(x, y, color=colour, linewidth=scaled(0.9), zorder=3.5, path_effects=halo, label="trajectory", **fixed)  # type: ignore[arg-type]
    shown = np.unique(np.linspace(0, len(x) - 1, min(len(x), _MANY)).round().astype(int))
    known = norm is not None and bool(np.isfinite(path.distance).any())
    rim = {"edgecolors": colour, "linewidths": scaled(0.6), "zorder": 3.6, "plotnonfinite": False}

    def colours(chosen: NDArray[np.intp]) -> dict[str, Any]:
        coloured = known and np.isfinite(path.distance[chosen]).any()
        return {"c": path.distance[chosen], "cmap": style.PATH_MAP, "norm": norm} if coloured else {"c": "white"}

    dots = ax.scatter(x[shown], y[shown], s=scaled(3.6) ** 2, **colours(shown), **rim)  # type: ignore[arg-type]
    start = np.zeros(1, np.intp)
    ax.scatter(x[start], y[start], s=scaled(5.5) ** 2, marker="s", **colours(start), **rim)  # type: ignore[arg-type]
    return dots if known else None
