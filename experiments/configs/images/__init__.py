"""Spiking convolutional networks on pictures."""
