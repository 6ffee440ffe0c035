"""Studies of the spectra of Hessians."""
