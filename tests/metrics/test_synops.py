"""Operations against a loop over the edges of a network, and the published energy anchors."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.metrics import (
    ActivityTotals,
    LayerTotals,
    dense_activity,
    energy_mj,
    layer_synops,
    sparse_activity,
    synops,
)

OFFSETS = list(itertools.product((-1, 0, 1), repeat=3))


def _voxels(seed: int, side: int, share: float) -> np.ndarray:
    return np.argwhere(np.random.default_rng(seed).random((side,) * 3) < share)


def _pairs(coords: np.ndarray) -> list[tuple[int, int]]:
    """(input, output) pairs of a submanifold k3 convolution, by a dictionary."""
    at = {tuple(p): i for i, p in enumerate(coords.tolist())}
    return [
        (at[q], i)
        for i, p in enumerate(coords.tolist())
        for q in (tuple(np.add(p, o).tolist()) for o in OFFSETS)
        if q in at
    ]


def test_spikes_cost_one_addition_an_edge_and_a_spike():
    coords, c_in, c_out = _voxels(0, 4, 0.4), 3, 2
    n = len(coords)
    spikes = np.random.default_rng(1).integers(0, 5, (n, c_in))
    pairs = _pairs(coords)
    additions = 0
    for i, _ in pairs:  # every edge: (pair of rows) x (input channel) x (output channel)
        for c in range(c_in):
            for _ in range(c_out):
                additions += int(spikes[i, c])
    degree = np.bincount([i for i, _ in pairs], minlength=n)
    valid = jnp.ones((1, n), bool)
    one = sparse_activity(
        "conv", jnp.asarray(spikes, jnp.float32)[None], valid, jnp.asarray(degree)[None], c_out,
    )  # fmt: skip
    got = synops([one])
    assert (got.acs, got.macs, got.dense_macs) == (additions, 0, len(pairs) * c_in * c_out)
    assert got.energy_mj == pytest.approx(additions * 0.9e-9, rel=1e-12)
    assert got.ann_energy_mj == pytest.approx(len(pairs) * c_in * c_out * 4.6e-9, rel=1e-12)


def test_real_input_costs_multiply_adds_and_the_kinds_stay_apart():
    first = dense_activity("first", jnp.full((2, 3, 4), 0.5), 6)
    second = dense_activity("second", jnp.ones((2, 3, 6)), 5)
    got = synops([first, second])
    assert (got.macs, got.acs, got.dense_macs) == (2 * 4 * 6, 2 * 6 * 5, 2 * 4 * 6 + 2 * 6 * 5)
    assert got.total == got.macs + got.acs
    assert [(x.name, x.macs, x.acs) for x in layer_synops([first, second])] == [
        ("first", 3 * 48, 0),
        ("second", 0, 3 * 60),
    ]


def test_all_ones_make_additions_equal_to_the_twins_multiply_adds():
    got = synops([dense_activity("fc", jnp.ones((3, 2, 7)), 5)])
    assert got.acs == got.dense_macs
    assert got.energy_mj / got.ann_energy_mj == pytest.approx(0.9 / 4.6)


def test_means_are_of_samples_not_of_batches():
    small = [dense_activity("fc", jnp.ones((1, 1, 2)), 1)]
    large = [dense_activity("fc", jnp.zeros((1, 3, 2)), 1)]
    totals = ActivityTotals().add(small).add(large)
    assert synops(totals).acs == 2 / 4


def test_counts_beyond_float_and_int32_stay_exact():
    layer = LayerTotals("big", 512, 512, pairs=10**13, fanout=10**15 + 1)
    got = layer_synops(ActivityTotals((layer,), 1))[0]
    assert got.acs == (10**15 + 1) * 512
    assert got.dense_macs == 10**13 * 512 * 512


def test_no_sample_is_an_error():
    empty = ActivityTotals().add([dense_activity("fc", jnp.ones((1, 2, 2)), 1)], np.zeros(2))
    with pytest.raises(ValueError, match="no sample was counted"):
        synops(empty)


def _neighbours(coords: np.ndarray, side: int) -> int:
    """Pairs of a submanifold k3 convolution, by sorted keys (fast enough for 10^4 voxels)."""
    keys = np.ravel_multi_index((coords + 1).T, (side + 2,) * 3)
    return sum(
        np.isin(keys + np.ravel_multi_index(np.add(o, 1), (side + 2,) * 3)
                - np.ravel_multi_index((1, 1, 1), (side + 2,) * 3), keys).sum()
        for o in OFFSETS
    )  # fmt: skip


def test_e3dsnn_t_on_a_sphere_shell_costs_four_millijoules_as_an_ann():
    """The published anchor: 8,192 points at 200^3, K = 40, six input channels.

    9.35e8 multiply-adds, 4.3 mJ; about 7,949 voxels, 12,655 stem pairs and 7,296 / 5,252 / 2,242 /
    653 sites in the four stages. The points are random, so 2 % is what one draw allows.
    """
    points = np.random.default_rng(0).normal(size=(8192, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    coords = np.unique(np.floor((points - points.min(0)) / 0.01).astype(int), axis=0)
    sites = [coords]
    for _ in range(4):
        sites.append(np.unique(sites[-1] // 2, axis=0))
    assert [len(s) for s in sites] == pytest.approx([7949, 7296, 5252, 2242, 653], rel=0.02)

    def layer(name: str, pairs: int, c_in: int, c_out: int) -> LayerTotals:
        return LayerTotals(name, c_in, c_out, pairs=int(pairs))

    near = [_neighbours(s, 202) for s in sites]
    assert near[0] == pytest.approx(12655, rel=0.02)
    layers = [layer(f"stem.{i}", near[0], c, 16) for i, c in enumerate((6, 16, 16))]
    widths = (16, 16, 32, 64, 128)
    for i in range(1, 5):
        layers.append(layer(f"down.{i}", len(sites[i - 1]), widths[i - 1], widths[i]))
        layers += [layer(f"block.{i}.{j}", near[i], widths[i], widths[i]) for j in range(3)]
    layers.append(layer("head", len(sites[4]), 128, 40))
    got = synops(ActivityTotals(tuple(layers), 1))
    assert got.dense_macs == pytest.approx(9.35e8, rel=0.02)
    assert got.ann_energy_mj == pytest.approx(4.3, rel=0.02)


def test_energy_is_linear_in_both_kinds():
    assert energy_mj(2e9, 3e9) == pytest.approx(2 * 4.6 + 3 * 0.9)
