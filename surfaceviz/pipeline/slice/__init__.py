"""The job of computing a slice."""
