"""Points where a loss has no first or second derivative, found by the operators that its model runs."""

from surfaceviz.curvature.nonsmooth.recorder import KinkCounts, count_kinks, recording_kinks

__all__ = ["KinkCounts", "count_kinks", "recording_kinks"]
