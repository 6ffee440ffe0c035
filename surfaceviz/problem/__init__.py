"""The problem: a network with its data and its loss, the input of every job."""
