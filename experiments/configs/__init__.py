"""Experiments, one short file a run: its docstring says the command and what to expect."""
