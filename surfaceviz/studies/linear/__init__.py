"""Studies of linear networks and of polynomials, whose critical points are known in closed form."""
