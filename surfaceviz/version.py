"""The version: here alone; pyproject.toml reads it, and every file names it."""

VERSION = "0.2.0"
