"""Products of the Hessian and Gauss-Newton matrices with vectors."""
