"""How a picture is to look: one record of what its command or call asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """What is drawn of slices, and how.

    Attributes:
        kind: of surfaces: filled, lines or heat.
        levels: auto, linear, log or paper.
        of: ``<split>_<metric>``, a metric, or ``rise``; None: the loss: of the first split, for curves of all.
        clip: values above it are clipped, and hatched.
        points: whether the points of surfaces that were evaluated, not interpolated, are dotted.
        spectrum: whether points with a spectrum are numbered, with the curvature around them and their spectra below.
        shade: what the Hessian map shades: ratio (|lambda_min / lambda_max|), max, min or gradient; surfaces are
            drawn as lines over it, beside curves it is one more.
        size: a name of `style.SIZES`.
    """

    kind: str = "filled"
    levels: str = "auto"
    of: str | None = None
    clip: float | None = None
    points: bool = False
    spectrum: bool = False
    shade: str | None = None
    size: str = "auto"
