"""Verification of files before they are opened."""
