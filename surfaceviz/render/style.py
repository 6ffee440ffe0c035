"""One style for all pictures: fonts, sizes, colours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

# Okabe & Ito's palette (https://jfly.uni-koeln.de/color/), told apart by the colour-blind; its yellow, too
# pale for lines, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")  # of the splits
MAP = "viridis"  # perceptually uniform, monotone in grey
SIGNED_MAP = "RdBu_r"  # white at 0, blue below it, red above
MISSING = "#e6e6e6"
DIVERGED = "#bdbdbd"

_PARAMETERS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.6,
    "contour.negative_linestyle": "solid",  # levels are drawn by their logarithm, whose sign means nothing
    "svg.fonttype": "none",  # real text in vector files
    "pdf.fonttype": 42,
    "svg.hashsalt": "surfaceviz",  # equal pictures are equal files
    "savefig.dpi": 200,
    "savefig.bbox": "tight",  # constrained layout leaves too little beside a panel of fixed aspect
    "savefig.pad_inches": 0.08,
    "figure.dpi": 120,
}


@contextmanager
def applied() -> Iterator[None]:
    """Draw in the project's style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_PARAMETERS)
        yield
