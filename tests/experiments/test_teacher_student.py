"""Delays are found again from the outputs of a layer that has them, and taps kept apart."""

from __future__ import annotations

import numpy as np

from experiments.teacher_student import learn_all


def test_a_student_finds_the_delays_of_its_teacher():
    found = learn_all(2, shape=(2, 2))
    assert (np.asarray(found.before) > 3).all()
    assert (np.asarray(found.exact) == 1).all()
    assert (np.asarray(found.error) < 0.3).all()
    assert (np.asarray(found.residual) < 1e-9).all()
