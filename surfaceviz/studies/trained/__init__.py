"""Studies of networks that are trained on handwritten digits."""
