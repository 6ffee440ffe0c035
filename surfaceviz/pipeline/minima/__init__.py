"""The minima of a stored slice: found on its grid, evaluated again at a few points, judged, and stored."""
