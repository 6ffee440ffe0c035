"""Second derivatives at a point: products, extreme eigenvalues, densities, traces, and what kind of point it is."""

from surfaceviz.curvature.graphs import OPERATORS
from surfaceviz.curvature.kinds import Evidence, kind_of_point
from surfaceviz.curvature.kinks import kinks_at
from surfaceviz.curvature.lanczos import Extremes, extremes, least_room
from surfaceviz.curvature.layout import Layout, filter_scales, layout_of
from surfaceviz.curvature.measure import MOST_ROOM, Site, Wanted, corner, eigen, matrix, opened, spectrum
from surfaceviz.curvature.operator import Operator, Start
from surfaceviz.curvature.sums import Open, Share, Sums

__all__ = [
    "MOST_ROOM",
    "OPERATORS",
    "Evidence",
    "Extremes",
    "Layout",
    "Open",
    "Operator",
    "Share",
    "Site",
    "Start",
    "Sums",
    "Wanted",
    "corner",
    "eigen",
    "extremes",
    "filter_scales",
    "kind_of_point",
    "kinks_at",
    "layout_of",
    "least_room",
    "matrix",
    "opened",
    "spectrum",
]  # fmt: skip
