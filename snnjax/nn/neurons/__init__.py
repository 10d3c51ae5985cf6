"""Neuron layers, one file per family; `snnjax.nn` re-exports them.

A layer takes every constant of its neuron by name, a number or one per feature, and lists in
`trainable` which of them are trained. Time constants are `tau...` in the unit of `dt`; `decay` is
the function that makes decays of them, `exact` or `euler`.
"""
