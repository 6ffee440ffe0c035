"""Second derivatives at a point: products, extreme eigenvalues, densities, traces, and what kind of point it is."""

from surfaceviz.curvature.critical_points import Evidence, classify_point
from surfaceviz.curvature.flat_parameters import ParameterLayout, filter_scales, parameter_layout
from surfaceviz.curvature.hvp import OPERATORS
from surfaceviz.curvature.lanczos import Extremes, extremes, least_room
from surfaceviz.curvature.nonsmooth import kinks_at
from surfaceviz.curvature.operator import Operator, Start
from surfaceviz.curvature.sharded_hvp import Open, SampleShare, Sums
from surfaceviz.curvature.spectrum import (
    MOST_ROOM,
    SpectrumPoint,
    SpectrumSpec,
    corner,
    eigen,
    matrix,
    opened,
    spectrum,
)

__all__ = [
    "MOST_ROOM",
    "OPERATORS",
    "Evidence",
    "Extremes",
    "Open",
    "Operator",
    "ParameterLayout",
    "SampleShare",
    "SpectrumPoint",
    "SpectrumSpec",
    "Start",
    "Sums",
    "classify_point",
    "corner",
    "eigen",
    "extremes",
    "filter_scales",
    "kinks_at",
    "least_room",
    "matrix",
    "opened",
    "parameter_layout",
    "spectrum",
]  # fmt: skip
