"""Directions from trainings: the plane of the checkpoints, and the path in it."""
