"""Merge trees of slices, and which of their minima exceed the errors of their own points (numpy, no torch)."""

from surfaceviz.topology.merge_tree import NONE, MergeTree, merge_tree, on_border
from surfaceviz.topology.significance import Judged, judge, threshold

__all__ = ["NONE", "Judged", "MergeTree", "judge", "merge_tree", "on_border", "threshold"]
