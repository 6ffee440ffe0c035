"""The groups of a file that hold what belongs to a slice: spectra, maps, trajectories, minima."""
