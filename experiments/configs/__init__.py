"""Experiments, one short file per run: the docstring has the command and the expected result."""
