"""The kind of a point: what eigenvalues, Newton's step and one-sided differences prove of it."""

from surfaceviz.curvature.critical_points.classify import NOT_CRITICAL, PointEvidence, classify_point, zero_level
from surfaceviz.curvature.critical_points.judge import judge_point
from surfaceviz.curvature.critical_points.one_sided import OneSidedCheck, ProbeDirection
from surfaceviz.curvature.critical_points.search import SearchEnd, search_critical

__all__ = [
    "NOT_CRITICAL",
    "OneSidedCheck",
    "PointEvidence",
    "ProbeDirection",
    "SearchEnd",
    "classify_point",
    "judge_point",
    "search_critical",
    "zero_level",
]
