"""The kind of a point: what eigenvalues, Newton's step and one-sided differences prove of it."""

from surfaceviz.curvature.critical_points.classify import PointEvidence, classify_point
from surfaceviz.curvature.critical_points.judge import judge_point
from surfaceviz.curvature.critical_points.one_sided import OneSidedCheck, ProbeDirection

__all__ = [
    "OneSidedCheck",
    "PointEvidence",
    "ProbeDirection",
    "classify_point",
    "judge_point",
]
