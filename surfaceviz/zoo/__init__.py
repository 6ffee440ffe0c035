"""Networks, data sets and training of the problems that the package ships."""
