"""Counts against loops over every row, channel and step."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.metrics import (
    ActivityTotals,
    LayerActivity,
    activity,
    dense_activity,
    layer_synops,
    sparse_activity,
    wide_sum,
)

COUNTS = ("sites", "spikes", "nonzero", "pairs", "fanout")


def _layer(b: int = 2, **counts: list[int]) -> LayerActivity:
    """Integer counts below 2^31, as if they were the only terms of their sums."""
    given = {
        "uncounted": [0] * b,
        "fractional": [0] * b,
        "fan1": [0] * b,
        "fan2": [0] * b,
        **counts,
    }
    columns = jnp.array([given.get(name, [1] * b) for name in activity.COUNTS], jnp.int32)
    words = wide_sum(columns.T[..., None], -1)
    return LayerActivity(words, name="a", in_channels=3, out_channels=5, terms=1)


def counted(layer: LayerActivity) -> dict[str, list[int]]:
    """The counts of every sample, as Python integers."""
    samples = layer.samples()
    return {name: samples[name].tolist() for name in COUNTS}


def real(layer: LayerActivity) -> list[bool]:
    return layer.samples()["real"].tolist()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
def test_sparse_activity_equals_a_loop(dtype):
    rng = np.random.default_rng(0)
    feats = rng.integers(0, 5, (3, 2, 7, 4)) * rng.integers(-1, 2, (3, 2, 7, 4))  # ternary too
    valid, degree = rng.random((2, 7)) < 0.6, rng.integers(0, 28, (2, 7))
    expect = {k: [0, 0] for k in COUNTS}
    for t in range(3):
        for b in range(2):
            for i in range(7):
                if not valid[b, i]:
                    continue
                expect["sites"][b] += 1
                expect["pairs"][b] += int(degree[b, i])
                for c in range(4):
                    s = abs(int(feats[t, b, i, c]))
                    expect["spikes"][b] += s
                    expect["nonzero"][b] += s != 0
                    expect["fanout"][b] += s * int(degree[b, i])
    count = jax.jit(lambda f: sparse_activity("x", f, valid, degree, 9))
    got = count(jnp.asarray(feats, dtype))
    assert counted(got) == expect
    assert (got.name, got.in_channels, got.out_channels) == ("x", 4, 9)
    assert real(got) == [False, False]


def test_real_input_has_pairs_but_no_spikes():
    feats = jnp.array([[[0.5, 0.0], [-1.0, 2.0]]])
    got = sparse_activity("x", feats, jnp.ones((1, 2), bool), jnp.array([[2, 1]]), 3)
    assert [count[0] for count in counted(got).values()] == [2, 0, 3, 3, 0]
    assert real(got) == [True]


@pytest.mark.parametrize("other", [0.5, -1e-3, np.nan, np.inf])
def test_spikes_and_real_values_are_told_apart_by_sample(other):
    """A batch and each of its samples alone give the same counts."""
    x = np.random.default_rng(2).integers(0, 3, (2, 3, 4)).astype(np.float32)
    x[1, 1, 2] = other
    together = dense_activity("fc", jnp.asarray(x), 5)
    finite = bool(np.isfinite(other) or np.isnan(other))
    if not finite:  # `round` takes an infinity for an integer: it is refused, not counted
        with pytest.raises(ValueError, match="layer 'fc': its spikes cannot be counted exactly"):
            ActivityTotals().add([together])
        return
    assert real(together) == [False, finite, False]
    alone = ActivityTotals()
    for b in range(3):
        alone = alone.add([dense_activity("fc", jnp.asarray(x[:, b : b + 1]), 5)])
    assert ActivityTotals().add([together]) == alone
    (row,) = layer_synops(alone)
    spikes = int(x[:, [0, 2]].sum())
    assert (row.macs, row.acs, row.dense_macs) == (2 * 4 * 5, spikes * 5, 3 * 2 * 4 * 5)


def test_nan_on_a_padding_row_is_ignored():
    feats = jnp.array([[[1.0], [jnp.nan]]])
    got = sparse_activity("x", feats, jnp.array([[True, False]]), jnp.array([[1, 7]]), 3)
    assert counted(got) == {
        "sites": [1],
        "spikes": [1],
        "nonzero": [1],
        "pairs": [1],
        "fanout": [1],
    }
    assert real(got) == [False]


def test_totals_do_not_count_padding_rows():
    batch = (_layer(spikes=[7, 1000], sites=[4, 4], fan0=[9, 50]),)
    totals = ActivityTotals().add(batch, weight=np.array([1.0, 0.0], np.float32))
    layer = totals.layers[0]
    assert (totals.samples, layer.spikes, layer.fanout, layer.entries) == (1, 7, 9, 12)


def test_batches_add_up_to_the_total():
    spikes = np.random.default_rng(1).integers(0, 3, (4, 6, 8))
    full = ActivityTotals().add([dense_activity("fc", jnp.asarray(spikes), 5)])
    parts = ActivityTotals()
    for rows in (slice(0, 2), slice(2, 6)):
        parts = parts.add([dense_activity("fc", jnp.asarray(spikes[:, rows]), 5)])
    assert parts == full
    assert full.layers[0].spikes == full.layers[0].fanout == int(spikes.sum())


def test_totals_pass_the_range_of_int32():
    batch = (_layer(fan0=[2**31 - 1, 2**31 - 1]),)
    totals = ActivityTotals().add(batch).add(batch).add(batch)
    assert totals.layers[0].fanout == 6 * (2**31 - 1)


def test_activity_passes_through_jit_with_its_names():
    got = jax.jit(lambda x: jax.tree.map(lambda a: a * 2, x))(_layer())
    assert got.name == "a"
    assert counted(got)["pairs"] == [2, 2]


@pytest.mark.parametrize(
    ("weight", "message"), [([1.0], "zeros and ones"), ([1.0, 0.5], "zeros and ones")]
)
def test_a_weight_that_would_break_exactness_is_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        ActivityTotals().add((_layer(),), np.array(weight))


def test_a_single_step_needs_no_time_axis():
    x = jnp.array([[1.0, 2.0], [0.0, 1.0]])
    one, other = dense_activity("fc", x, 3), dense_activity("fc", x[None], 3)
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_fan_out_of_a_large_sample_is_exact():
    """100,000 sites of 256 channels with 4 spikes each and 27 neighbours pass 2^31."""
    sites, channels = 100_000, 256
    feats = jnp.full((1, sites, channels), 4, jnp.int8)
    degree = jnp.full((1, sites), 27, jnp.int32)
    valid = jnp.ones((1, sites), bool)
    (layer,) = ActivityTotals().add([sparse_activity("conv", feats, valid, degree, 1)]).layers
    assert layer.fanout == 2_764_800_000
    assert layer.spikes == layer.nonzero * 4 == sites * channels * 4
    assert (layer.sites, layer.pairs, layer.entries) == (sites, 27 * sites, sites * channels)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32])
@pytest.mark.parametrize("size", [2**30, -(2**30), 2**31 - 1, -(2**31)])
def test_spikes_too_large_to_count_are_refused_and_never_wrap(size, dtype):
    """Two spikes of 2^30 make 2^31; inside `jax.jit` nothing else can be checked."""
    x = jnp.asarray(np.full((1, 1, 2), size, np.int64).astype(np.float64), dtype)
    for count in (dense_activity, jax.jit(dense_activity, static_argnums=(0, 2))):
        with pytest.raises(ValueError, match="layer 'fc': its spikes cannot be counted exactly"):
            ActivityTotals().add([count("fc", x, 1)])


def test_the_largest_spikes_are_counted():
    for dtype, size in ((jnp.int32, 2**30 - 1), (jnp.float32, 2**30 - 64), (jnp.int8, -128)):
        layer = jax.jit(lambda x: dense_activity("fc", x, 1))(jnp.full((1, 1, 2), size, dtype))
        assert counted(layer)["spikes"] == [2 * abs(size)]
    spikes = jnp.array([[[True, False, True]]])
    assert counted(dense_activity("fc", spikes, 1))["spikes"] == [2]


def test_counts_of_too_few_terms_are_refused():
    """More entries added up than `terms` allows show as negative words."""
    wrapped = jax.tree.map(jnp.negative, _layer())
    with pytest.raises(ValueError, match="words must not be negative"):
        ActivityTotals().add([wrapped])


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="record=True"):
        ActivityTotals().add(())
    with pytest.raises(ValueError, match="different networks"):
        ActivityTotals().add((_layer(),)).add((_layer(), _layer()))
    with pytest.raises(ValueError, match="layer 'a': counts must have 2 samples; got 3"):
        ActivityTotals().add((_layer(), _layer(3)))
    with pytest.raises(ValueError, match=r"\[T, B, ..., C\] or"):
        dense_activity("fc", jnp.ones(3), 4)
    with pytest.raises(ValueError, match="valid and outdegree"):
        sparse_activity("x", jnp.ones((1, 2, 3)), jnp.ones((1, 3), bool), jnp.ones((1, 3)), 4)
