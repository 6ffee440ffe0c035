"""The default effort of a comparison."""

DIRECTIONS = 100  # finds a log-ratio of 0.3 in at least 80% of pairs, see scripts/bench_verdicts.py; ours
QUICK_DIRECTIONS = 30
RAYS, QUICK_RAYS = 16, 8  # slices, for the picture and the width; ours
QUICK_SAMPLES = 512  # of each split; ours
MAP_POINTS, MAP_SAMPLES = 5, 64  # along each axis of a map of |lambda_min / lambda_max|, and of the split; ours
