"""The forward pass of a user's model: what it writes, what it leaves behind, operators that it is run with."""
