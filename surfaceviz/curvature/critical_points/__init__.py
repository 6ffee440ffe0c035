"""The kind of a point: what eigenvalues, Newton's step and one-sided differences prove of it."""

from surfaceviz.curvature.critical_points.classify import PointEvidence, classify_point
from surfaceviz.curvature.critical_points.judge import judge_point
from surfaceviz.curvature.critical_points.one_sided import OneSidedCheck, ProbeDirection
from surfaceviz.curvature.critical_points.sampling_error import SamplingError, sampling_error

__all__ = [
    "OneSidedCheck",
    "PointEvidence",
    "ProbeDirection",
    "SamplingError",
    "classify_point",
    "judge_point",
    "sampling_error",
]
