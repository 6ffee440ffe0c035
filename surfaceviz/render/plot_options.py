"""Options of pictures and movies, with their defaults.

The module has no heavy imports, since the command line reads the defaults for --help.
"""

from __future__ import annotations

from dataclasses import dataclass


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
        size: a name in `style.SIZES`.
        camera: for pictures in 3-D: a preset or ``AZIMUTH,ELEVATION[,ZOOM]`` in degrees.
    """

    kind: str = "filled"
    levels: str = "auto"
    of: str | None = None
    clip: float | None = None
    points: bool = False
    spectrum: bool = False
    map: str | None = None
    size: str = "auto"
    camera: str = "corner"


@dataclass(frozen=True, slots=True)
class AnimationOptions:
    """What a movie shows.

    Attributes:
        way: ``orbit``: once around the surface; ``trajectory``: one iterate of the training after another.
        frames: of one orbit; at most so many of a trajectory.
    """

    way: str = "orbit"
    frames: int = 90
