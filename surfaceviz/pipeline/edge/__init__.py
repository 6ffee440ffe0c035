"""Stability along the checkpoints of trainings."""
