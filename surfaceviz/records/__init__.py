"""Results as frozen numpy records: the contents of files and pictures."""

from surfaceviz.records.arrays import AXIS_NAMES, EVALUATED, INTERPOLATED, MISSING, FloatArray
from surfaceviz.records.comparison import ComparedNetwork, Comparison, IntervalRow, NetworkGauge, PairVerdicts
from surfaceviz.records.curvature import Curvature, Density, HessianMap, Layers, Spectrum
from surfaceviz.records.edge import Edge, edge_rows, edge_table
from surfaceviz.records.lattice import coarse_first, coarsened, finished_level
from surfaceviz.records.local_models.quadratic_model import QuadraticModel, quadratic_model, quadratic_models
from surfaceviz.records.minima import HEAD as MINIMA_HEAD
from surfaceviz.records.minima import Minima, MinimumKind, minima_rows, minima_summary, minima_table
from surfaceviz.records.rays import RaySpread, complete_rays, median_ray, one_ray, ray_spread, with_seeds
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
from surfaceviz.records.words.describe_quadratic_model import explanation, radius_words, ratio_words
from surfaceviz.records.words.describe_slice import describe, describe_audit
from surfaceviz.records.words.describe_spectrum import (
    describe_spectrum,
    gradient_rows,
    negative_words,
    student_factor,
    trace_words,
)
from surfaceviz.records.words.describe_trajectory import share, trajectory_rows
from surfaceviz.records.words.describe_verdict import difference_words, margin_words, verdict_head, verdict_sentence

__all__ = [
    "AXIS_NAMES",
    "CLAIMED_SHARE",
    "CLAIMED_SHARE_ABOVE",
    "EVALUATED",
    "INTERPOLATED",
    "MINIMA_HEAD",
    "MISSING",
    "PROJECTED_LOSS",
    "Audit",
    "ComparedNetwork",
    "Comparison",
    "Curvature",
    "Density",
    "Difference",
    "DirectionRecord",
    "Edge",
    "FloatArray",
    "HessianMap",
    "IntervalRow",
    "Layers",
    "Mark",
    "Minima",
    "MinimumKind",
    "NetworkGauge",
    "PairVerdicts",
    "QuadraticModel",
    "RaySpread",
    "Slice",
    "Spectrum",
    "TensorEntry",
    "Trajectory",
    "Verdict",
    "coarse_first",
    "coarsened",
    "complete_rays",
    "describe",
    "describe_audit",
    "describe_spectrum",
    "difference_words",
    "edge_rows",
    "edge_table",
    "explanation",
    "finished_level",
    "gradient_rows",
    "margin_words",
    "median_ray",
    "minima_rows",
    "minima_summary",
    "minima_table",
    "negative_words",
    "one_ray",
    "quadratic_model",
    "quadratic_models",
    "radius_words",
    "ratio_words",
    "ray_spread",
    "share",
    "student_factor",
    "trace_words",
    "trajectory_rows",
    "verdict_head",
    "verdict_sentence",
    "with_seeds",
]  # fmt: skip
