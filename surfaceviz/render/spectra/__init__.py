"""Spectra of the Hessian: densities, eigenvalues, panels of them."""
