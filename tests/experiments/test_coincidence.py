"""A task that only delays can solve: weights are frozen."""

from __future__ import annotations

import numpy as np

from experiments.coincidence import learn_all


def test_delays_alone_tell_two_lags_apart():
    lags = np.array([-6, 6])
    learned = learn_all(3, (-6, 6))
    assert (np.asarray(learned.before) <= 0.5).all()  # as drawn they are at chance
    assert (np.asarray(learned.accuracy) >= 0.99).all()
    difference = np.asarray(learned.delay[:, 0] - learned.delay[:, 1])
    assert (np.abs(difference - lags) < 0.5).all()
