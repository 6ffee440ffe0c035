"""Results as frozen numpy records: the contents of files and pictures."""

from surfaceviz.records.arrays import AXIS_NAMES, EVALUATED, INTERPOLATED, MISSING, FloatArray
from surfaceviz.records.curvature import Curvature, Density, HessianMap, Layers, Spectrum
from surfaceviz.records.describe_slice import describe, describe_audit
from surfaceviz.records.describe_spectrum import (
    describe_spectrum,
    gradient_rows,
    negative_words,
    student_factor,
    trace_words,
)
from surfaceviz.records.describe_trajectory import share, trajectory_rows
from surfaceviz.records.describe_verdict import difference_words, margin_words, verdict_sentence
from surfaceviz.records.lattice import coarse_first, coarsened, finished_level
from surfaceviz.records.slices import (
    CLAIMED_SHARE,
    CLAIMED_SHARE_ABOVE,
    Audit,
    DirectionRecord,
    Mark,
    Slice,
    TensorEntry,
)
from surfaceviz.records.trajectory import PROJECTED_LOSS, Trajectory
from surfaceviz.records.verdicts import Difference, Verdict

__all__ = [
    "AXIS_NAMES",
    "CLAIMED_SHARE",
    "CLAIMED_SHARE_ABOVE",
    "EVALUATED",
    "INTERPOLATED",
    "MISSING",
    "PROJECTED_LOSS",
    "Audit",
    "Curvature",
    "Density",
    "Difference",
    "DirectionRecord",
    "FloatArray",
    "HessianMap",
    "Layers",
    "Mark",
    "Slice",
    "Spectrum",
    "TensorEntry",
    "Trajectory",
    "Verdict",
    "coarse_first",
    "coarsened",
    "describe",
    "describe_audit",
    "describe_spectrum",
    "difference_words",
    "finished_level",
    "gradient_rows",
    "margin_words",
    "negative_words",
    "share",
    "student_factor",
    "trace_words",
    "trajectory_rows",
    "verdict_sentence",
]  # fmt: skip
