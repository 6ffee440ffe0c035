"""Studies: small worlds whose loss surface is known, measured through the public functions."""
