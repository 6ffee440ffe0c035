"""Options of the commands, with their help."""
