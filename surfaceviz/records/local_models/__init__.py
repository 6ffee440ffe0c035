"""What the values of a slice around a point say: second differences, and the error of the quadratic model."""
