"""Counts against loops over every row, channel and step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.metrics import ActivityTotals, LayerActivity, linear_activity, sparse_activity


def _layer(b: int = 2, **counts: list[int]) -> LayerActivity:
    arrays = {
        name: jnp.asarray(counts.get(name, [1] * b), jnp.int32)
        for name in ("sites", "spikes", "nonzero", "pairs", "fanout")
    }
    return LayerActivity(**arrays, name="a", in_channels=3, out_channels=5, spiking=True)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
def test_sparse_activity_equals_a_loop(dtype):
    rng = np.random.default_rng(0)
    feats = rng.integers(0, 5, (3, 2, 7, 4)) * rng.integers(0, 2, (3, 2, 7, 4))
    valid, degree = rng.random((2, 7)) < 0.6, rng.integers(0, 28, (2, 7))
    expect = {k: [0, 0] for k in ("sites", "spikes", "nonzero", "pairs", "fanout")}
    for t in range(3):
        for b in range(2):
            for i in range(7):
                if not valid[b, i]:
                    continue
                expect["sites"][b] += 1
                expect["pairs"][b] += int(degree[b, i])
                for c in range(4):
                    s = int(feats[t, b, i, c])
                    expect["spikes"][b] += s
                    expect["nonzero"][b] += s != 0
                    expect["fanout"][b] += s * int(degree[b, i])
    count = jax.jit(lambda f: sparse_activity("x", f, valid, degree, 9, spiking=True))
    got = count(jnp.asarray(feats, dtype))
    assert {k: np.asarray(getattr(got, k)).tolist() for k in expect} == expect
    assert (got.name, got.in_channels, got.out_channels, got.spiking) == ("x", 4, 9, True)


def test_real_input_has_pairs_but_no_spikes():
    feats = jnp.array([[[0.5, 0.0], [-1.0, 2.0]]])
    got = sparse_activity("x", feats, jnp.ones((1, 2), bool), jnp.array([[2, 1]]), 3, spiking=False)
    fields = ("sites", "spikes", "nonzero", "pairs", "fanout")
    assert [int(getattr(got, k)[0]) for k in fields] == [2, 0, 3, 3, 0]


def test_nan_on_a_padding_row_is_ignored():
    feats = jnp.array([[[1.0], [jnp.nan]]])
    got = sparse_activity(
        "x", feats, jnp.array([[True, False]]), jnp.array([[1, 7]]), 3, spiking=True
    )
    assert [int(x[0]) for x in (got.spikes, got.nonzero, got.fanout)] == [1, 1, 1]


def test_totals_do_not_count_padding_rows():
    batch = (_layer(spikes=[7, 1000], sites=[4, 4], fanout=[9, 50]),)
    totals = ActivityTotals().add(batch, weight=np.array([1.0, 0.0], np.float32))
    layer = totals.layers[0]
    assert (totals.samples, layer.spikes, layer.fanout, layer.entries) == (1, 7, 9, 12)


def test_batches_add_up_to_the_whole():
    spikes = np.random.default_rng(1).integers(0, 3, (4, 6, 8))
    whole = ActivityTotals().add([linear_activity("fc", jnp.asarray(spikes), 5)])
    parts = ActivityTotals()
    for rows in (slice(0, 2), slice(2, 6)):
        parts = parts.add([linear_activity("fc", jnp.asarray(spikes[:, rows]), 5)])
    assert parts == whole
    assert whole.layers[0].spikes == whole.layers[0].fanout == int(spikes.sum())


def test_totals_pass_the_range_of_int32():
    batch = (_layer(fanout=[2**31 - 1, 2**31 - 1]),)
    totals = ActivityTotals().add(batch).add(batch).add(batch)
    assert totals.layers[0].fanout == 6 * (2**31 - 1)


def test_activity_passes_through_jit_with_its_names():
    got = jax.jit(lambda x: jax.tree.map(lambda a: a * 2, x))(_layer())
    assert got.name == "a"
    assert np.asarray(got.pairs).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("weight", "message"), [([1.0], "zeros and ones"), ([1.0, 0.5], "zeros and ones")]
)
def test_a_weight_that_would_break_exactness_is_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        ActivityTotals().add((_layer(),), np.array(weight))


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="record=True"):
        ActivityTotals().add(())
    with pytest.raises(ValueError, match="different networks"):
        ActivityTotals().add((_layer(),)).add((_layer(), _layer()))
    with pytest.raises(ValueError, match=r"layer 'a': pairs must be \(2,\)"):
        ActivityTotals().add((_layer(pairs=[1, 2, 3]),))
    with pytest.raises(ValueError, match=r"\[T, B, N\]"):
        linear_activity("fc", jnp.ones((2, 3)), 4)
    with pytest.raises(ValueError, match="valid and outdegree"):
        sparse_activity(
            "x", jnp.ones((1, 2, 3)), jnp.ones((1, 3), bool), jnp.ones((1, 3)), 4, spiking=True
        )
