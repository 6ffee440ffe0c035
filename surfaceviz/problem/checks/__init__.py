"""Checks of the data and targets that a user gives, with the advice for the usual mistakes."""
