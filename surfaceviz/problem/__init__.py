"""A network with its data and loss: what every job starts from."""
