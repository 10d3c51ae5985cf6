"""None as a state: every layer with one starts at rest, and says so where it was forgotten."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax import nn
from snnjax.nn import DHLIF, LIF, DeltaActivation, Population, Stateful

T, B, N = 4, 3, 2
KINDS = {
    name: kind
    for name, kind in inspect.getmembers(nn, inspect.isclass)
    if issubclass(kind, Population) and kind is not Population
}


def made(name):
    layer = KINDS[name](N)
    shape = (T, B, *layer.shape(()))
    x = np.random.default_rng(0).normal(0.4, 1.0, shape).astype(np.float32)
    return layer, jnp.asarray(x)


@pytest.mark.filterwarnings("ignore:HodgkinHuxley. dt=")
@pytest.mark.parametrize("name", KINDS)
def test_none_is_the_resting_state_and_the_batch_leads_every_leaf(name):
    layer, x = made(name)
    assert isinstance(layer, Stateful)
    rest = layer.rest_for(jax.ShapeDtypeStruct(x.shape, x.dtype))
    for leaf in jax.tree.leaves(rest):
        assert leaf.shape[:1] == (B,)
    for leaf, want in zip(
        jax.tree.leaves(rest), jax.tree.leaves(layer.init_state((B,))), strict=True
    ):
        np.testing.assert_array_equal(leaf, want)
        assert leaf.dtype == want.dtype
    state, out = jax.jit(lambda x: layer(None, x))(x)
    after, want = jax.jit(lambda rest, x: layer(rest, x))(rest, x)
    np.testing.assert_array_equal(out, want)
    for leaf, other in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(leaf, other)
        assert leaf.shape[:1] == (B,)
    with pytest.raises(TypeError, match=rf"{name} takes a state .*`state, out = layer\(None, x\)`"):
        layer(x)


def test_membranes_at_rest_are_as_wide_as_the_input_and_float32_at_least():
    for dtype, want in ((jnp.bfloat16, jnp.float32), (jnp.float32, jnp.float32)):
        assert LIF(N).rest_for(jnp.ones((T, B, 5, N), dtype)).v.dtype == want
    with jax.enable_x64(True):
        wide = LIF(N).rest_for(jax.ShapeDtypeStruct((T, B, N), jnp.float64))
        assert (wide.v.dtype, wide.v.shape) == (jnp.float64, (B, N))
    assert DHLIF(N, branches=2).rest_for(jnp.ones((T, B, N, 2))).u.shape == (B, N)
    assert DeltaActivation(N, threshold=0.1).rest_for(np.ones((T, B, N), np.float32)).k.shape == (
        B,
        N,
    )
    assert LIF(N)(None, np.ones((T, B, N), np.float32).tolist())[1].shape == (T, B, N)


def test_input_that_fits_no_state_is_refused():
    with pytest.raises(
        ValueError, match=r"LIF\(2\) takes input .*\(4, 3, 5\)\. Its width is 5, not 2"
    ):
        LIF(N)(None, jnp.ones((T, B, 5)))
    with pytest.raises(ValueError, match=r"LIF\(2\) takes input .*got input \(2,\)"):
        LIF(N).rest_for(jnp.ones((N,)))
    with pytest.raises(ValueError, match=r"\(4, 3, 3, 5\)\. Its width is \(3, 5\), not \(3, 2\)"):
        DHLIF(3, branches=2)(None, jnp.ones((T, B, 3, 5)))
    layer = LIF(N)
    with pytest.raises(ValueError, match=r"Time comes first: pass jnp.swapaxes\(x, 0, 1\)"):
        layer(layer.init_state((B,)), jnp.ones((B, T, N)))
