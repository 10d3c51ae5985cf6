from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.train import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_against_numpy(smoothing: float) -> None:
    rng = np.random.default_rng(0)
    logits, label = 5 * rng.standard_normal((6, 4)), np.array([0, 1, 2, 3, 1, 0])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = (1 - smoothing) * np.eye(4)[label] + smoothing / 4
    got = cross_entropy(jnp.asarray(logits, jnp.float32), jnp.asarray(label), smoothing=smoothing)
    np.testing.assert_allclose(got, -(q * log_p).sum(1), rtol=1e-5)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        cross_entropy(jnp.zeros((2, 3)), jnp.zeros(3, jnp.int32))
