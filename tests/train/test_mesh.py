from __future__ import annotations

import numpy as np
import pytest

from snnjax.sharding import parse_mesh
from snnjax.train import check_divisible, replicate, shard


def test_a_batch_must_divide() -> None:
    with pytest.raises(ValueError, match=r"multiple of the 8 devices .* got 12. Take 16"):
        check_divisible(12, parse_mesh("data=8"))
    check_divisible(16, parse_mesh("data=8"))


@pytest.mark.parametrize(("batch_size", "nearest"), [(1, 4), (5, 4), (7, 8), (15, 16), (17, 16)])
def test_the_nearest_batch_is_offered(batch_size: int, nearest: int) -> None:
    with pytest.raises(ValueError, match=f"Take {nearest}, or a mesh with another size"):
        check_divisible(batch_size, parse_mesh("data=4"))


def test_batches_are_cut_and_states_copied() -> None:
    mesh, rows = parse_mesh("data=4"), np.arange(8.0).reshape(8, 1)
    pieces = [np.asarray(piece.data) for piece in shard(rows, mesh).addressable_shards]
    np.testing.assert_array_equal(np.concatenate(pieces), rows)
    assert all(piece.shape == (2, 1) for piece in pieces)
    copies = [np.asarray(copy.data) for copy in replicate(rows, mesh).addressable_shards]
    assert len(copies) == 4
    assert all(np.array_equal(copy, rows) for copy in copies)
