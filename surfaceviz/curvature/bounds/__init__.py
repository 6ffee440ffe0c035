"""Bounds on what searches and probes leave open: missed eigenvalues, copies, shares of negative eigenvalues."""
