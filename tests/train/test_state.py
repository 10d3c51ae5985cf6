from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from snnjax.train import Weights, create_state, merge_model, split_model
from snnjax.train.state import all_finite, evaluated, update_average
from tests.train.tiny import Tiny


def test_the_average_is_the_closed_sum() -> None:
    """Both branches of the decay: the warm-up (1 + t) / (10 + t), then the constant."""
    values = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    average = Weights({"w": jnp.zeros(3)}, {"n": jnp.array(0)})
    for t, value in enumerate(values):
        new = Weights({"w": jnp.asarray(value)}, {"n": jnp.array(t)})
        average = update_average(average, new, jnp.array(t), 0.6)
    decays = [min(0.6, (1 + t) / (10 + t)) for t in range(30)]
    want = sum(
        (1 - decays[t]) * np.prod(decays[t + 1 :]) * values[t].astype(np.float64) for t in range(30)
    )
    np.testing.assert_allclose(average.params["w"], want, rtol=1e-5)
    assert int(average.stats["n"]) == 29  # counters are copied, not averaged


def test_split_and_merge_are_inverse_and_plain() -> None:
    model = Tiny(3, 10, levels=4, rngs=nnx.Rngs(0))
    graphdef, weights = split_model(model)
    assert all(type(leaf) is type(jnp.zeros(1)) for leaf in jax.tree.leaves(weights))
    assert len(jax.tree.leaves(weights.stats)) == 3
    again = merge_model(graphdef, weights)
    np.testing.assert_array_equal(again.first.kernel[...], model.first.kernel[...])


def test_the_average_is_evaluated_if_there_is_one() -> None:
    _, weights = split_model(Tiny(3, 10, levels=4, rngs=nnx.Rngs(0)))
    key = jax.random.key(0)
    plain = create_state(weights, optax.sgd(0.1), ema=False, key=key)
    averaged = create_state(weights, optax.sgd(0.1), ema=True, key=key)
    assert evaluated(plain) is plain.weights
    assert evaluated(averaged) is averaged.ema
    # copies, so that donating one cannot invalidate the other
    pairs = zip(jax.tree.leaves(averaged.ema), jax.tree.leaves(averaged.weights), strict=True)
    assert all(a is not b for a, b in pairs)


@pytest.mark.parametrize("where", ["params", "stats", "ema"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_lost_is_seen(where: str, value: float) -> None:
    weights = Weights({"w": jnp.ones((3, 2))}, {"mean": jnp.zeros(2), "n": jnp.array(3)})
    state = create_state(weights, optax.sgd(0.1), ema=True, key=jax.random.key(0))
    assert all_finite(state)
    assert all_finite(state._replace(ema=None))
    broken = {"w": jnp.ones((3, 2)).at[1, 1].set(value)}
    lost = {
        "params": state._replace(weights=weights._replace(params=broken)),
        "stats": state._replace(weights=weights._replace(stats=broken)),
        "ema": state._replace(ema=weights._replace(params=broken)),
    }
    assert not all_finite(lost[where])
