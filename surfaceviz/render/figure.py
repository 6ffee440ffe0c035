"""Figures of slices, of any kind: checks of the slices and options, then the kind's drawing function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from surfaceviz.records import Slice, coarsened
from surfaceviz.render.explanation import explanations, write_below
from surfaceviz.render.figure_io import FORMATS, Picture, check_format, save
from surfaceviz.render.kinds import KINDS
from surfaceviz.render.labels import UNFINISHED, plain, with_names
from surfaceviz.render.plot_options import PlotOptions

__all__ = ["FORMATS", "Picture", "check_format", "draw", "draw_figure", "save"]
SPECTRUM = "spectrum"  # the kind of picture that shows no slice
_FLAGS = {"points": "--show-points", "axis_name": "--axis-name"}  # options whose name on the command line differs


def draw(surfaces: Sequence[Slice], *, names: Sequence[str] | None = None, **options: Any) -> Picture:
    """Return a figure of slices: curves overlaid, surfaces next to each other with one set of levels.

    Args:
        surfaces: the slices.
        names: names that distinguish slices of one problem, such as the names of their files.
        options: the fields of `PlotOptions`.

    Raises:
        ValueError: see `draw_figure`.
    """
    return draw_figure(surfaces, PlotOptions(**options), names=names)


def draw_figure(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Picture:
    """Return a figure of slices.

    Args:
        surfaces: the slices; most kinds need all 1-D or all 2-D.
        options: what is drawn.
        names: names that distinguish slices of one problem, such as the names of their files.
        warn: called with a message where a kind falls back to a plainer picture.

    Raises:
        ValueError: no slice; mixed dimensions; an unknown kind, metric, size, ...; an option that the kind does not
            use; no spectrum or no map where one is to be drawn.
        GraphicsError: there is no OpenGL, and no ``warn``.
    """
    if not surfaces:
        raise ValueError("nothing to draw: give at least one slice")
    if options.kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {options.kind!r}")
    check_options(options)
    given = names or [surface.title or "the slice" for surface in surfaces]
    kind = KINDS[options.kind]
    _check_slices(surfaces, options.kind)
    own, title = _own_names(options, len(surfaces))
    shown = with_names(with_distinct_titles(surfaces, names), own, options.axis_name)
    finished = [finished_part(surface, options.kind) for surface in shown]
    figure = kind.load()(finished, options, names=options.label or given, warn=warn)
    if title:
        figure.suptitle(plain(title))
    if options.explain:
        write_below(figure, explanations(shown, options.label or given), size=options.size)
    return figure


def _own_names(options: PlotOptions, count: int) -> tuple[Sequence[str], str]:
    """Return the names of slices and the title above the picture; one slice without a label has the title itself."""
    panel = count == 1 and options.kind != SPECTRUM and not options.label
    return ((options.title,), "") if panel and options.title else (options.label, options.title)


def check_options(options: PlotOptions, used: tuple[str, ...] | None = None, what: str = "") -> None:
    """Refuse options that a picture does not use.

    Args:
        options: those of the picture.
        used: the names of those that it uses; by default those of its kind.
        what: the picture, for the message; by default its kind.

    Raises:
        ValueError: the first option that differs from its default and is not used.
    """
    kind = KINDS[options.kind]
    used = (*kind.options, "explain", *(("axis_name",) if kind.axes else ())) if used is None else used
    default = PlotOptions()
    for option in (field.name for field in fields(options)):
        if option in ("kind", "size", "label", "title", *used) or getattr(options, option) == getattr(default, option):
            continue
        raise ValueError(f"{what or f'kind {options.kind}'} has no {_FLAGS.get(option, f'--{option}')}: leave it out")


def _check_slices(surfaces: Sequence[Slice], name: str) -> None:
    kind = KINDS[name]
    if len({surface.ndim for surface in surfaces}) != 1 and not kind.mixed:
        raise ValueError("1-D and 2-D slices don't go into one picture; draw them apart")
    if any((np.diff(axis) <= 0).any() for surface in surfaces for axis in surface.axes):
        raise ValueError("the coordinates of an axis must rise; sort them, and the values with them")
    if any(surface.ndim not in kind.ndim for surface in surfaces):
        raise ValueError(f"kind {name} draws surfaces, and these slices are curves; leave out --kind")


def finished_part(surface: Slice, kind: str) -> Slice:
    """Return the drawable part of an unfinished slice: its finest complete lattice, titled by its progress."""
    if surface.complete:
        return surface
    part = coarsened(surface) if KINDS[kind].lattice else surface
    progress = f"{surface.done} of {surface.origin.size} points so far"
    return replace(part, provenance={**surface.provenance, UNFINISHED: progress})


def with_distinct_titles(surfaces: Sequence[Slice], names: Sequence[str] | None) -> list[Slice]:
    """Return the slices with distinct titles: slices of one problem get the given names or numbers.

    Curves over rays are told apart by their directions, and need none.
    """
    named = [surface for surface in surfaces if surface.seeds] or surfaces
    if len({surface.title for surface in named}) == len(named):
        return list(surfaces)
    names = names or [str(i + 1) for i in range(len(surfaces))]
    return [
        replace(surface, provenance={**surface.provenance, "problem": f"{surface.title} ({name})"})
        for surface, name in zip(surfaces, names, strict=True)
    ]
