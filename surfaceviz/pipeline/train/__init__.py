"""Training of a network of the catalogue into a folder of checkpoints, which is then a problem."""
