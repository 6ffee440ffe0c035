"""The Python interface, a file for each command."""
