"""One style for all pictures: fonts, sizes, colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color/), distinguishable by the colour-blind; its yellow, too
# pale for lines, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")  # of the splits
FAINT_STYLES = ((0, (1, 1.4)), (0, (1, 3)), (0, (1, 1.4, 4, 1.4)))  # of the splits, on the second axis
MAP = "viridis"  # perceptually uniform, monotone in grey
SIGNED_MAP = "RdBu_r"  # white at 0, blue below it, red above
PATH_MAP = "YlOrRd"  # of a trajectory's distance, on top of `MAP`, whose blues and greens it has none of
INK, MARK = "#1a1a1a", "#D55E00"
RUNS = (INK, "#D55E00", "#CC79A7", "#0072B2", "#E69F00", "#56B4E9", "#009E73")  # trainings in one plane
MISSING = "#e6e6e6"
DIVERGED = "#bdbdbd"
UNRESOLVED = "#f0f0f0"

_POINT = 9.0  # the size of the font, in points, that all other lengths were chosen for
_DPI = 200


@dataclass(frozen=True, slots=True)
class Size:
    """The width of a whole picture in inches, None: as its panels want it; and its font's size in points."""

    width: float | None
    font: float


SIZES = {
    "auto": Size(None, _POINT),
    "column": Size(3.4, 7.5),  # of a two-column paper
    "page": Size(6.8, 8.0),  # its whole width
    "slide": Size(10.0, 16.0),
}


def scaled(length: float) -> float:
    """Return a length, in points or inches, that was chosen for a 9 point font, for the font that is in use."""
    return float(length * mpl.rcParams["font.size"] / _POINT)


def _parameters(font: float) -> dict[Any, Any]:
    k = font / _POINT
    return {
        "font.family": "DejaVu Sans",
        "font.size": font,
        "axes.titlesize": 10 * k,
        "axes.labelsize": 9 * k,
        "axes.labelpad": 4 * k,
        "axes.titlepad": 6 * k,
        "axes.linewidth": 0.7 * k,
        "axes.spines.top": False,
        "axes.formatter.useoffset": False,
        "legend.fontsize": 8 * k,
        "legend.frameon": False,
        "xtick.labelsize": 8 * k,
        "ytick.labelsize": 8 * k,
        **{f"{axis}tick.major.{what}": value * k for axis in "xy" for what, value in _TICK.items()},
        **{f"{axis}tick.minor.{what}": value * 0.6 * k for axis in "xy" for what, value in _TICK.items()},
        "lines.linewidth": 1.6 * k,
        "hatch.linewidth": 0.7 * k,
        "contour.negative_linestyle": "solid",  # levels are drawn by their logarithm, whose sign means nothing
        "svg.fonttype": "none",  # real text in vector files
        "pdf.fonttype": 42,
        "svg.hashsalt": "surfaceviz",  # equal pictures are equal files
        "savefig.dpi": _DPI,
        "savefig.bbox": "tight",  # constrained layout leaves too little next to a panel of fixed aspect
        "savefig.pad_inches": 0.08 * k,
        "figure.dpi": 120,
    }


_TICK = {"size": 3.5, "width": 0.7, "pad": 3.5}


@contextmanager
def applied(size: str = "auto") -> Iterator[Size]:
    """Draw in the project's style, whatever the user's own settings are, for a ``with`` block.

    Args:
        size: one of `SIZES`.

    Raises:
        ValueError: another size.
    """
    if size not in SIZES:
        raise ValueError(f"size: expected one of {', '.join(SIZES)}, got {size!r}")
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_parameters(SIZES[size].font))
        yield SIZES[size]
