"""Figures and tables of comparisons."""
