"""The job of computing spectra and Hessian maps."""
