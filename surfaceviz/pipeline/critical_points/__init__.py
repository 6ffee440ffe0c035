"""The job that searches for critical points."""
