"""Texts of a picture: labels of axes with symbols and directions, titles, units."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from surfaceviz.records import AXIS_NAMES, DirectionRecord, Slice, share

if TYPE_CHECKING:
    from collections.abc import Sequence

_SYMBOLS = (r"$\alpha$", r"$\beta$")
_SIMILAR = 3.0  # extents up to this ratio are drawn with one unit on both axes
UNFINISHED = "unfinished"  # the provenance key of a drawn slice's progress
_NAMED = "axis named"  # with the number of an axis, the provenance key of a drawn slice's own name for it
_AXIS, _LINE, _TITLE = (
    28,
    44,
    60,
)  # characters that the name of a file of directions, of a model, and a title have room for


def axis_label(surface: Slice, k: int) -> str:
    """Return the label of an axis: its symbol, and the origin of its direction."""
    if (named := surface.provenance.get(f"{_NAMED} {k}")) is not None:
        return plain(str(named))
    if k >= len(surface.directions):
        return _SYMBOLS[k]
    return f"{_SYMBOLS[k]}  ({_words(surface.directions[k], _only(surface))}{_share(surface, k)})"


def curve_direction(surface: Slice) -> str:
    """Return the direction of a curve in words."""
    return _words(surface.directions[0], _only(surface)) if surface.directions else "an unknown direction"


def direction_words(surface: Slice, k: int) -> str:
    """Return the symbol of an axis, a colon, and its name or the origin of its direction."""
    label = axis_label(surface, k).removeprefix(_SYMBOLS[k]).strip()
    if label.startswith("(") and label.endswith(")"):
        label = label[1:-1]
    return f"{_SYMBOLS[k]}: {label}" if label else _SYMBOLS[k]


def with_names(surfaces: Sequence[Slice], labels: Sequence[str], axis_names: Sequence[str]) -> list[Slice]:
    """Return slices that are drawn under other names than their problems', with other names of their axes.

    Raises:
        ValueError: labels for another number of slices, or more names than axes.
    """
    check_labels(labels, len(surfaces))
    most = min((surface.ndim for surface in surfaces), default=0)
    if len(axis_names) > most:
        raise ValueError(f"got {len(axis_names)} names of axes; these slices have {most}: give a name for each")
    named = {f"{_NAMED} {k}": name for k, name in enumerate(axis_names)}
    return [
        replace(surface, provenance={**surface.provenance, **named, **({"problem": labels[i]} if labels else {})})
        for i, surface in enumerate(surfaces)
    ]


def check_labels(labels: Sequence[str], count: int) -> None:
    """Refuse labels for another number of files.

    Raises:
        ValueError: there are labels, but not one for each.
    """
    if len(labels) not in (0, count):
        raise ValueError(f"got {len(labels)} labels for {count} files; give --label for each, in their order")


def _share(surface: Slice, k: int) -> str:
    """Return the share of a training's variance along an axis, as text; empty where it is not known."""
    known = {} if surface.trajectory is None else surface.trajectory.provenance
    explained = known.get(f"explained_variance_{AXIS_NAMES[k]}")
    return "" if explained is None else f", {share(float(explained))} of the variance"


def _only(surface: Slice) -> str:
    """Return the patterns of the only parameters that move, as text; empty where all do."""
    patterns: Sequence[str] = json.loads(str(surface.provenance.get("only", "[]")))
    return f" in {', '.join(patterns)}" if patterns else ""


def _words(direction: DirectionRecord, only: str) -> str:
    """Return a direction in words."""
    if direction.kind == "random":
        how = "" if direction.normalise == "none" else f", {direction.normalise}-normalised"
        return f"random direction{only}{how}"
    if direction.kind == "eigenvector":
        value = direction.eigenvalue
        return "eigenvector" if value is None else f"eigenvector, $\\lambda$ = {value:.3g}"
    if direction.kind in ("gradient", "ascent"):
        return direction.kind
    if direction.kind in ("coordinate", "file"):
        start, most = ("change of", _LINE) if direction.kind == "coordinate" else ("direction of", _AXIS)
        return f"{start} {plain(direction.source or f'a {direction.kind}', most)}"
    if direction.kind == "difference" and direction.source:
        return f"toward {plain(direction.source, _LINE)}"
    what = "" if direction.kind == "trajectory" else f"{direction.kind}, "
    return f"{what}{plain(direction.source.partition(',')[0], _LINE)}" if direction.source else direction.kind


def plain(text: str, most: int = _TITLE) -> str:
    r"""Return text from a file as matplotlib shows it letter by letter: no formulas, nothing unprintable.

    Of more than ``most`` characters the middle is left out.

    >>> print(plain("a$b$.pt"))
    a\$b\$.pt
    """
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    half = most // 2
    short = shown if len(shown) <= most else f"{shown[:half]}\N{HORIZONTAL ELLIPSIS}{shown[-half:]}"
    return short.replace("\\", "\\\\").replace("$", r"\$")


def broken(label: str) -> str:
    """Return an axis's label on as many lines as it has parts."""
    return label.replace("  (", "\n(").replace(", ", ",\n")


def title_of(surface: Slice) -> str:
    """Return the title of a slice: the problem's name, and a note where it is unfinished."""
    notes = ["unfinished, not audited"] if surface.unaudited else []
    notes += [str(surface.provenance[UNFINISHED])] if UNFINISHED in surface.provenance else []
    return "\n".join([plain(surface.title), *notes])


def has_equal_units(surface: Slice) -> bool:
    """Return whether a surface is drawn with one unit on both axes: where their lengths are similar."""
    width, height = (axis[-1] - axis[0] for axis in surface.axes)
    return bool(height <= _SIMILAR * width and width <= _SIMILAR * height)


def panel_height(surface: Slice) -> float:
    """Return the height of a surface's panel as a share of its width."""
    width, height = (axis[-1] - axis[0] for axis in surface.axes)
    return float(height / width) if has_equal_units(surface) and width > 0 else 1.0
