"""Checkpoint files: safetensors, or `.pt` files of plain or nested state dicts."""

from surfaceviz.problem.checkpoints.read_weights import read_state, read_weights, refuse_without_values

__all__ = ["read_state", "read_weights", "refuse_without_values"]
