"""Networks, data sets and training of the problems that the package knows by name."""
