"""Folders of checkpoints: written during a training, thinned, read."""

from surfaceviz.recording.folder import Record, read_record, recorded_steps, weights_path

__all__ = ["Record", "read_record", "recorded_steps", "weights_path"]
