"""Scaling of a training step to thousands of devices, by calculation."""
