"""Panels of spectra: under the slices of a picture, or as a picture of their own."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from surfaceviz.records import Slice, Spectrum
from surfaceviz.render import style
from surfaceviz.render.annotate import point_numbers, spectra_on_slice
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import plain
from surfaceviz.render.spectra.smoothed_density import EigenvalueScale, choose_scale, rule_of
from surfaceviz.render.spectra.spectrum_axes import draw_box, draw_density, draw_eigenvalues, finish_spectrum
from surfaceviz.render.style import scaled

PANEL_HEIGHT, PANEL_FOOT = 0.92, 0.45  # inches, of a spectrum under a slice and of the labels under the last one
_WIDTH = 4.8  # inches of a picture without slices
_ALIKE = 30.0  # the ratio of norms up to which spectra share an axis; ours
_NARROW_APART = 0.13  # of the axis, between labels of a panel under a slice


def numbers_of_points(surfaces: Sequence[Slice]) -> list[list[int]]:
    """Return the numbers of the points of each slice, which run on from one to the next."""
    numbers: list[list[int]] = []
    for surface in surfaces:
        numbers.append(point_numbers(surface, 1 + max((n for some in numbers for n in some), default=0)))
    return numbers


def spectrum_stacks_height(surfaces: Sequence[Slice], columns: int) -> float:
    """Return the height in inches of `draw_spectrum_stacks`."""
    stacks = _stacks(surfaces, columns)
    rows = max(map(len, stacks))
    return scaled(PANEL_HEIGHT * rows + PANEL_FOOT * (1 if _have_one_axis(stacks) else rows))


def _have_one_axis(stacks: Sequence[Sequence[tuple[int, int, Spectrum]]]) -> bool:
    """Return whether the panels can do with labels below the lowest: as many in each column, of like eigenvalues."""
    return len(set(map(len, stacks))) == 1 and _are_alike(stacks)


def _are_alike(stacks: Sequence[Sequence[tuple[int, int, Spectrum]]]) -> bool:
    norms = [spectrum.norm for stack in stacks for _, _, spectrum in stack]
    return max(norms) <= _ALIKE * min(norms)


def draw_spectrum_stacks(host: FigureBase, surfaces: Sequence[Slice], columns: int, colours: Sequence[str]) -> None:
    """Draw a panel and a box for each spectrum on the slices, those of a slice under each other in its column.

    All share one axis of eigenvalues, so that they compare from panel to panel, unless one would be a needle on it.

    Args:
        host: an empty figure or part of one.
        surfaces: with at least one spectrum each.
        columns: how many slices stand side by side.
        colours: of each slice's densities.
    """
    stacks = _stacks(surfaces, columns)
    shared = choose_scale([spectrum for stack in stacks for _, _, spectrum in stack])
    alike, even = _are_alike(stacks), _have_one_axis(stacks)
    rows = max(map(len, stacks))
    grid = host.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1.75, 1] * columns)
    for ax in grid.flat:
        ax.set_visible(False)
    for column, stack in enumerate(stacks):
        for row, (k, number, spectrum) in enumerate(stack):
            left, right = grid[row, 2 * column : 2 * column + 2]
            last = row == len(stack) - 1
            scale = shared if alike else choose_scale([spectrum])
            left.set_visible(True)
            right.set_visible(True)
            _draw_panel(left, [("", spectrum)], scale, [colours[k]])
            finish_spectrum(
                left, scale, labelled=last or not even, density=rule_of(spectrum) is not None, apart=_NARROW_APART
            )
            if rule_of(spectrum):
                left.set_ylabel("density", fontsize="small")
            draw_box(right, spectrum, number)
            if last or not even:
                left.set_xlabel("eigenvalue" + _of([spectrum for _, _, spectrum in stack]))


def _stacks(surfaces: Sequence[Slice], columns: int) -> list[list[tuple[int, int, Spectrum]]]:
    """Return for each column (index of the slice, number, spectrum) from above."""
    stacks: list[list[tuple[int, int, Spectrum]]] = [[] for _ in range(columns)]
    for k, (surface, numbers) in enumerate(zip(surfaces, numbers_of_points(surfaces), strict=True)):
        rows = [(k, n, s) for n, s in zip(numbers, spectra_on_slice(surface), strict=True)]
        stacks[k % columns] += sorted(rows, key=lambda row: row[1])  # matrices at one point under each other
    return stacks


def draw_spectra(spectra: Sequence[tuple[str, Spectrum]], *, size: str = "auto") -> Picture:
    """Return a figure of only spectra, laid over each other: densities as lines, known eigenvalues as stems.

    Args:
        spectra: each with the name of what it is of, such as its file's; the point and the matrix are added to the
            legend where they differ.
        size: auto, column, page or slide.

    Raises:
        ValueError: no spectrum.
    """
    if not spectra:
        raise ValueError("nothing to draw: give at least one spectrum")
    if len(spectra) > len(style.COLOURS):
        raise ValueError(
            f"{len(spectra)} spectra can't be distinguished in one picture; give at most {len(style.COLOURS)}"
        )
    ruled = any(rule_of(spectrum) for _, spectrum in spectra)
    with style.applied(size) as inches:
        width = inches.width or _WIDTH
        figure = Picture(figsize=(width, width * (0.67 if ruled else 0.46)), layout="constrained")
        figure.exact_width = inches.width
        ax = figure.subplots()
        labels = _distinct_labels(spectra)
        overlay_spectra(ax, [(label, s) for label, (_, s) in zip(labels, spectra, strict=True)])
        if len(spectra) > 1:
            figure.legend(loc="outside lower center", ncols=2)
        else:
            ax.set_title(labels[0])
    return figure


def overlay_spectra(ax: Axes, spectra: Sequence[tuple[str, Spectrum]]) -> None:
    """Draw spectra over each other on one axis of eigenvalues, negative ones to the left of 0, positive to the right.

    Args:
        ax: empty axes.
        spectra: at least one, each with its label.
    """
    scale = choose_scale([spectrum for _, spectrum in spectra])
    ruled = any(rule_of(spectrum) for _, spectrum in spectra)
    _draw_panel(ax, spectra, scale, [style.COLOURS[i % len(style.COLOURS)] for i in range(len(spectra))])
    finish_spectrum(ax, scale, rows=len(spectra), density=ruled)
    ax.set_xlabel("eigenvalue" + _of([spectrum for _, spectrum in spectra]))
    if ruled:
        ax.set_ylabel("density (share per decade)")


def _draw_panel(
    ax: Axes, spectra: Sequence[tuple[str, Spectrum]], scale: EigenvalueScale, colours: Sequence[str]
) -> None:
    for row, ((label, spectrum), colour) in enumerate(zip(spectra, colours, strict=True)):
        line = draw_density(ax, spectrum, scale, colour=colour, label=label, fill=len(spectra) == 1)
        draw_eigenvalues(ax, spectrum, colour=colour, row=row, label="" if line else label)


def _of(spectra: Sequence[Spectrum]) -> str:
    symbols = {spectrum.symbol for spectrum in spectra}
    return f" of {symbols.pop()}" if len(symbols) == 1 else ""


def _distinct_labels(spectra: Sequence[tuple[str, Spectrum]]) -> list[str]:
    """Return a label for each spectrum: of name, point and matrix what differs, or the first two."""
    parts = [(name, spectrum.where, spectrum.symbol) for name, spectrum in spectra]
    differ = [len({part[i] for part in parts}) > 1 for i in range(3)]
    kept = differ if any(differ) else [True, True, False]
    return [
        ", ".join(dict.fromkeys(plain(text) for text, keep in zip(part, kept, strict=True) if keep and text))
        for part in parts
    ]
