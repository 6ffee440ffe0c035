"""Options of pictures and movies, with their defaults.

The module has no heavy imports, since the command line reads the defaults for --help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotOptions:
    """What a picture of slices shows, and how.

    Attributes:
        kind: a name in `kinds.KINDS`.
        levels: ``auto``, ``linear``, ``log`` or ``paper``.
        of: ``<split>_<metric>``, a metric, or ``rise``; None: the loss (surfaces: of the first split; curves: of all).
        clip: values above it are clipped and hatched.
        points: whether the evaluated points of surfaces are dotted.
        spectrum: whether points with a spectrum are numbered, with the local curvature, and their spectra drawn below.
        map: the quantity of the Hessian map behind the contours: a name in `hessian_map.MAP_QUANTITIES`. Curves show it
            on a second axis.
        explain: whether it is written below how far the quadratic model of each slice is right, and how many times
            larger lambda_max is than the curvature shown.
        size: a name in `style.SIZES`.
        camera: for pictures in 3-D: a preset or ``AZIMUTH,ELEVATION[,ZOOM]`` in degrees.
        label: a name for each slice, instead of its problem's; none keeps those.
        title: of the picture; empty: the problem's name where there is one slice.
        axis_name: of alpha and beta, instead of their directions; none keeps those.
    """

    kind: str = "filled"
    levels: str = "auto"
    of: str | None = None
    clip: float | None = None
    points: bool = False
    spectrum: bool = False
    map: str | None = None
    explain: bool = False
    size: str = "auto"
    camera: str = "corner"
    label: Sequence[str] = ()
    title: str = ""
    axis_name: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Take one text or a list of texts where several may be given."""
        for name in ("label", "axis_name"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))


@dataclass(frozen=True, slots=True)
class AnimationOptions:
    """What a movie shows.

    Attributes:
        way: ``orbit``: once around the surface; ``trajectory``: one iterate of the training after another.
        frames: of one orbit; at most so many of a trajectory.
    """

    way: str = "orbit"
    frames: int = 90
