"""The commands that read, join, convert or show files that are there already."""
