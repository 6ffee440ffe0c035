"""Registry of the kinds of pictures: a new kind is a drawing module and a line here.

Drawing modules are imported when a picture is drawn, so that the command line can list the kinds at no cost.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from surfaceviz.records import Slice
    from surfaceviz.render.figure_io import Picture
    from surfaceviz.render.plot_options import PlotOptions


class Draw(Protocol):
    """A function that returns a figure of slices, already checked against its `Kind`."""

    def __call__(
        self,
        surfaces: Sequence[Slice],
        options: PlotOptions,
        *,
        names: Sequence[str],
        warn: Callable[[str], None] | None,
    ) -> Picture:
        """Return the figure; ``names`` are the names of the files."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of picture.

    Attributes:
        draw: ``module:function`` in `surfaceviz.render`, a `Draw`.
        ndim: the dimensions of the slices that it draws.
        options: the fields of `PlotOptions` that it uses next to kind and size; others are refused.
        mixed: whether slices of different dimensions go into one picture.
        lattice: whether an unfinished slice is first reduced to its finest complete lattice.
        axes: whether its axes are those of the slices, and can be named.
    """

    draw: str
    ndim: tuple[int, ...]
    options: tuple[str, ...]
    mixed: bool = False
    lattice: bool = True
    axes: bool = True

    def load(self) -> Draw:
        """Return the drawing function."""
        module, function = self.draw.split(":")
        draw: Draw = getattr(importlib.import_module(f"surfaceviz.render.{module}"), function)
        return draw


_FLAT = ("levels", "of", "clip", "points", "spectrum", "map")
KINDS = {
    "filled": Kind(draw="slice_figure:draw_slices", ndim=(1, 2), options=_FLAT),
    "lines": Kind(draw="slice_figure:draw_slices", ndim=(2,), options=_FLAT),
    "heat": Kind(draw="slice_figure:draw_slices", ndim=(2,), options=_FLAT, lattice=False),
    "surface": Kind(
        draw="surface3d.draw:draw_surfaces", ndim=(2,), options=("levels", "of", "clip", "spectrum", "camera")
    ),
    "trajectory": Kind(
        draw="contours.trajectory_figure:draw_trajectories", ndim=(2,), options=("levels", "of", "clip")
    ),
    "cuts": Kind(draw="curves.cut_figure:draw_cuts", ndim=(2,), options=("levels", "of", "clip"), axes=False),
    "tree": Kind(draw="curves.merge_tree:draw_trees", ndim=(1, 2), options=(), mixed=True, axes=False),
    "spectrum": Kind(draw="slice_figure:draw_spectra_of_slices", ndim=(1, 2), options=(), mixed=True, axes=False),
}
