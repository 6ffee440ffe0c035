"""Directions in weight space: random, between models, from the loss, from files."""
