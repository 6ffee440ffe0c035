"""The comparison job: slices of each network in one range, measures, differences and verdicts."""
