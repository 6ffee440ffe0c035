"""Results as frozen numpy records: the contents of files and pictures."""

from surfaceviz.records.arrays import FloatArray
from surfaceviz.records.curvature import Curvature, Density, HessianMap, Layers, Spectrum
from surfaceviz.records.describe_spectrum import describe_spectrum, negative_words, student_factor, trace_words
from surfaceviz.records.lattice import coarse_first, coarsened, finished_level
from surfaceviz.records.slices import (
    AXIS_NAMES,
    CLAIMED_SHARE,
    EVALUATED,
    INTERPOLATED,
    MISSING,
    Audit,
    DirectionRecord,
    Mark,
    Slice,
    TensorEntry,
    describe,
    describe_audit,
)
from surfaceviz.records.trajectory import Trajectory

__all__ = [
    "AXIS_NAMES",
    "CLAIMED_SHARE",
    "EVALUATED",
    "INTERPOLATED",
    "MISSING",
    "Audit",
    "Curvature",
    "Density",
    "DirectionRecord",
    "FloatArray",
    "HessianMap",
    "Layers",
    "Mark",
    "Slice",
    "Spectrum",
    "TensorEntry",
    "Trajectory",
    "coarse_first",
    "coarsened",
    "describe",
    "describe_audit",
    "describe_spectrum",
    "finished_level",
    "negative_words",
    "student_factor",
    "trace_words",
]  # fmt: skip
