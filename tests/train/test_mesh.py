from __future__ import annotations

import jax
import numpy as np
import pytest

from snnjax.train import data_mesh
from snnjax.train.mesh import check_divisible, replicate, shard


def test_a_batch_must_divide() -> None:
    with pytest.raises(ValueError, match=r"multiple of the 8 devices .* got 12. Take 16"):
        check_divisible(12, data_mesh(8))
    check_divisible(16, data_mesh(8))


@pytest.mark.parametrize(("batch_size", "nearest"), [(1, 4), (5, 4), (7, 8), (15, 16), (17, 16)])
def test_the_nearest_batch_is_offered(batch_size: int, nearest: int) -> None:
    with pytest.raises(ValueError, match=f"Take {nearest}, or a mesh with another size"):
        check_divisible(batch_size, data_mesh(4))


def test_too_many_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to the 8 local ones; got 9"):
        data_mesh(9)


def test_no_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to the 8 local ones; got 0"):
        data_mesh(0)


def test_a_mesh_takes_all_or_the_named_devices() -> None:
    assert data_mesh().shape == {"data": 8}
    chosen = jax.local_devices()[2:5]
    assert list(data_mesh(chosen).devices.flat) == chosen


def test_batches_are_cut_and_states_copied() -> None:
    mesh, rows = data_mesh(4), np.arange(8.0).reshape(8, 1)
    pieces = [np.asarray(piece.data) for piece in shard(rows, mesh).addressable_shards]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    assert all(piece.shape == (2, 1) for piece in pieces)
    copies = [np.asarray(copy.data) for copy in replicate(rows, mesh).addressable_shards]
    assert len(copies) == 4
    assert all(np.array_equal(copy, rows) for copy in copies)
