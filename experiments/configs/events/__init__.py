"""Spiking convolutional networks on recordings of event cameras."""
