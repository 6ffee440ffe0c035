"""Whole figures: which drawing for which records, legends, colour bars, files."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from surfaceviz.errors import StoreError
from surfaceviz.records import Slice
from surfaceviz.render import levels as levels_module
from surfaceviz.render import style
from surfaceviz.render.contour import KINDS, draw_contour, panel_height
from surfaceviz.render.curve import draw_curve, finish_curve, split_names

FORMATS = ("png", "svg", "pdf")


class Picture(Figure):
    """A figure that shows itself in a notebook without any back end being set up."""

    def _repr_png_(self) -> bytes:
        return _bytes(self, "png")


def draw(
    surfaces: Sequence[Slice],
    *,
    kind: str = "filled",
    levels: str = "auto",
    of: str | None = None,
    names: Sequence[str] | None = None,
    points: bool = False,
) -> Picture:
    """Return a figure of slices: curves overlaid, surfaces side by side with one set of levels.

    Args:
        surfaces: all 1-D or all 2-D.
        kind: for surfaces: filled, lines or heat.
        levels: auto, linear or log.
        of: ``<split>_<metric>``; by default the loss: of the first split, for curves of all.
        names: what tells slices of one problem apart, such as their files' names.
        points: whether the points of surfaces that were evaluated, not interpolated, are dotted.

    Raises:
        ValueError: no slice, mixed dimensions, unknown kind, levels or metric.
    """
    if not surfaces:
        raise ValueError("nothing to draw: give at least one slice")
    if len({surface.ndim for surface in surfaces}) != 1:
        raise ValueError("1-D and 2-D slices don't go into one picture; draw them apart")
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    for surface in surfaces:
        if of is not None and of not in surface.values:
            raise ValueError(f"no {of!r} in {surface.title}; it has {', '.join(surface.values)}")
    surfaces = _told_apart(surfaces, names or [str(i + 1) for i in range(len(surfaces))])
    with style.applied():
        if surfaces[0].ndim == 1:
            return _curves(surfaces, levels, of)
        return _surfaces(surfaces, kind, levels, of or _first_loss(surfaces), points=points)


def _told_apart(surfaces: Sequence[Slice], names: Sequence[str]) -> list[Slice]:
    """Return the slices with titles that differ: where problems are the same, with the given names."""
    if len({surface.title for surface in surfaces}) == len(surfaces):
        return list(surfaces)
    return [
        replace(surface, provenance={**surface.provenance, "problem": f"{surface.title} ({name})"})
        for surface, name in zip(surfaces, names, strict=True)
    ]


def _first_loss(surfaces: Sequence[Slice]) -> str:
    for split in surfaces[0].splits:
        if all(f"{split}_loss" in surface.values for surface in surfaces):
            return f"{split}_loss"
    raise ValueError("these slices share no loss: name what to draw")


def _surfaces(surfaces: Sequence[Slice], kind: str, scale: str, name: str, *, points: bool) -> Picture:
    chosen = levels_module.choose([surface.values[name] for surface in surfaces], _scale(scale, name))
    height = max(panel_height(surface) for surface in surfaces)
    columns = min(len(surfaces), 4)
    rows = math.ceil(len(surfaces) / columns)
    figure = Picture(figsize=(0.9 + 3.9 * columns, (0.6 + 3.3 * height) * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax, surface in zip(grid.flat, surfaces, strict=False):
        mappable = draw_contour(ax, surface, name, chosen, kind, points=points)
    for ax in grid.flat[len(surfaces) :]:
        ax.set_visible(False)
    bar = figure.colorbar(mappable, ax=list(grid.flat), shrink=0.85, pad=0.02)
    bar.set_label(name.replace("_", " "))
    places = [float(place) for place in chosen.placed(chosen.values)]
    bar.set_ticks(places, labels=[chosen.label(place) for place in places])
    bar.ax.minorticks_off()
    return figure


def _curves(surfaces: Sequence[Slice], scale: str, of: str | None) -> Picture:
    metric = "loss" if of is None else _metric(surfaces[0], of)
    figure = Picture(figsize=(5.6, 3.7), layout="constrained")
    ax = figure.subplots()
    shown = [_restricted(surface, of) for surface in surfaces]
    values = [s.values[name] for s in shown for name in s.values if name.endswith(f"_{metric}")]
    log = levels_module.choose(values, _scale(scale, metric)).log
    draw_curve(ax, shown, metric=metric)
    finish_curve(ax, shown, metric=metric, log=log)
    handles, labels = ax.get_legend_handles_labels()
    if of is None and any(split_names(surface, "accuracy") for surface in shown):
        right = ax.twinx()
        draw_curve(right, shown, metric="accuracy", faint=True)
        right.set_ylim(0, 1.02)
        right.set_ylabel("accuracy (dotted)")
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    else:
        ax.spines["right"].set_visible(False)
    figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(labels) > 1 else 1)
    named = any(surface.marks for surface in surfaces)  # their names stand between title and axes
    ax.set_title(surfaces[0].title if len(surfaces) == 1 else "", pad=18 if named else None)
    return figure


def _scale(scale: str, name: str) -> str:
    """Return the scale for a metric: only a loss is ever put on a log scale unasked."""
    return "linear" if scale == "auto" and not name.endswith("loss") else scale


def _metric(surface: Slice, name: str) -> str:
    return next(name.removeprefix(f"{split}_") for split in surface.splits if name.startswith(f"{split}_"))


def _restricted(surface: Slice, of: str | None) -> Slice:
    if of is None:
        return surface
    kept = {of: surface.values[of]}
    rise = {k: v for k, v in surface.rise_stderr.items() if k == of}
    return replace(surface, values=kept, stderr={}, rise_stderr=rise)


def check_format(path: Path) -> str:
    """Return the format that a picture's name asks for.

    Raises:
        ValueError: none of `FORMATS`.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: pictures are written as {', '.join(FORMATS)}; end the name in one of them")
    return kind


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF by its name, whole or not at all.

    Raises:
        ValueError: another ending.
        StoreError: it can't be written.
    """
    image = _bytes(figure, check_format(path))
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(image)
        os.replace(beside, path)  # noqa: PTH105
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror or error}") from error


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with style.applied():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, metadata=dates)
    return buffer.getvalue()
