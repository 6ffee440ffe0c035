"""The job of measuring sharpness."""
