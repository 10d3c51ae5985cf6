"""All neurons under test, by group."""

from __future__ import annotations

from tests.neurons.cases import (
    adaptive,
    compartment,
    discrete,
    leaky,
    nonlinear,
    resonant,
    short_term,
)
from tests.neurons.cases.case import Case

GROUPS = (adaptive, compartment, discrete, leaky, nonlinear, resonant, short_term)
CASES: dict[str, Case] = {name: case for group in GROUPS for name, case in group.CASES.items()}
