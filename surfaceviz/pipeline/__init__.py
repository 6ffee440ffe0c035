"""The only wiring: the Python interface and the command line both go through here."""
