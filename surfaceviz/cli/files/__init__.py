"""Commands on stored files."""
