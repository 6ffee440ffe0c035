"""Studies of networks with rectified units."""
