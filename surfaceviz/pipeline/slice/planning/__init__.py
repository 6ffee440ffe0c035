"""Planning a slice: what will be evaluated, with which engine, and whether a file is resumed."""
