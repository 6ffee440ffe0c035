"""The default effort of a comparison."""

DIRECTIONS = 32  # of each network: see scripts/bench_verdicts.py
QUICK_DIRECTIONS = 12  # likewise, where a first look is enough
