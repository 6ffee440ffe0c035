"""Trajectories of trainings on a slice."""
