"""Layers of neurons, one file a family; `snnjax.nn` has their names.

A layer takes every constant of its neuron by name, a number or one for each feature, and says in
`trainable` which of them are trained. Time constants are `tau...` in the unit of `dt`; `decay` is
the function that makes decays of them, `exact` or `euler`.
"""
