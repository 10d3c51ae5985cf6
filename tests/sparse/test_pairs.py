"""Compacted pairs are exactly the present pairs, in tiles in which no row repeats."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.sparse.pairs import compact_pairs, tile_size

BATCH, ROWS, COLUMNS = 2, 150, 3

compact = jax.jit(lambda half: compact_pairs(jnp.moveaxis(half, -1, 0)))


def half_table(density, seed=0):
    """Neighbours after the centre: in every column, distinct rows in ascending order."""
    rng = np.random.default_rng(seed)
    half = np.full((BATCH, ROWS, COLUMNS), ROWS, np.int32)
    for b in range(BATCH):
        for column in range(COLUMNS):
            present = np.nonzero(rng.random(ROWS) < density)[0]
            half[b, present, column] = np.sort(rng.permutation(ROWS)[: len(present)])
    return half


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_every_present_pair_is_listed_once_under_its_offset(density):
    half = half_table(density)
    pairs = compact(half)
    used = int(pairs.used)
    listed = set()
    for rows_in, rows_out, offset in zip(
        *(np.asarray(a)[:used] for a in (pairs.rows_in, pairs.rows_out, pairs.offset)), strict=True
    ):
        present = rows_out < BATCH * ROWS
        assert present.any()
        assert np.array_equal(present, rows_in < BATCH * ROWS)
        new = {(int(i), int(o), int(offset)) for i, o in zip(rows_in, rows_out, strict=True)}
        new = {pair for pair in new if pair[1] < BATCH * ROWS}
        assert len(new) == present.sum()
        assert not new & listed
        listed |= new
    b, row, column = np.nonzero(half < ROWS)
    want = (b * ROWS + half[b, row, column], b * ROWS + row, COLUMNS + 1 + column)
    assert listed == set(zip(*(a.tolist() for a in want), strict=True))


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_indices_of_a_tile_ascend_and_its_padding_is_out_of_bounds(density):
    pairs = compact(half_table(density))
    for side in (pairs.rows_in, pairs.rows_out):
        assert (np.diff(np.asarray(side), axis=1) > 0).all()
        assert (np.asarray(side)[int(pairs.used) :] >= BATCH * ROWS).all()


def test_used_tiles_are_as_few_as_whole_tiles_allow():
    half = half_table(0.5)
    tile = tile_size(BATCH * ROWS)
    per_offset = (half < ROWS).sum(axis=(0, 1))
    assert int(compact(half).used) == sum(-(-int(count) // tile) for count in per_offset)
    assert int(compact(half_table(0.0)).used) == 0
    full = compact(half_table(1.0))
    assert int(full.used) == len(full.offset)  # and there is no more room than needed


def test_a_tile_is_a_power_of_two_that_grows_with_the_rows():
    sizes = [tile_size(rows) for rows in (1, 128, 1000, 5000, 30_000, 10**6, 10**8)]
    assert sizes == sorted(sizes)
    assert all(size & (size - 1) == 0 for size in sizes)
    assert sizes[0] >= 32  # worth a product of its own
    assert sizes[-1] == sizes[-2] < 10**4  # and bounded
