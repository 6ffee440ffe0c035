"""Records of small worlds: critical points, and results of studies."""

from surfaceviz.records.studies.critical_points import CriticalPoints, critical_rows, critical_summary
from surfaceviz.records.studies.study_result import StudyPanel, StudyResult, StudySeries, study_rows

__all__ = [
    "CriticalPoints", "StudyPanel", "StudyResult", "StudySeries", "critical_rows", "critical_summary", "study_rows",
]  # fmt: skip
