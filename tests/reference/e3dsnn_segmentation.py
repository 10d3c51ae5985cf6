"""E-3DSNN for segmentation as dense convolutions on the full grid."""

from __future__ import annotations

import jax.numpy as jnp

from tests.reference.e3dsnn import Dense, at


def spread(x, weight, extent):
    """The transposed convolution k2 s2: y[2 p + k] = x[p] W_k; 0 beyond twice the coarse grid."""
    y = jnp.einsum("tbzyxc,ijkco->tbziyjxko", x, weight.reshape(2, 2, 2, *weight.shape[1:]))
    t, b, z, _, yy, _, xx, _, o = y.shape
    y = y.reshape(t, b, 2 * z, 2 * yy, 2 * xx, o)
    lost = [(0, e - s) for e, s in zip(extent, y.shape[2:5], strict=True)]
    return jnp.pad(y, ((0, 0), (0, 0), *lost, (0, 0)))


class DenseUNet(Dense):
    """One pass; see `Dense`. Logits are [B, Z, Y, X, K], 0 where there is no voxel."""

    def __call__(self, grid, mask):
        x = self._stem(grid, mask)
        levels = []
        for index in sorted(self.params["stages"]):
            levels.append((index, x, mask))
            x, mask = self._stage(("stages", index), x, mask)
        for index, skip, fine in reversed(levels):
            x, mask = self._up(("decoder", index), x, mask, skip, fine), fine
        x = self.neuron(x) if self.spike_head else x
        final = self.params["final"]
        logits = x @ final["weight"] + final["bias"]
        return jnp.where(mask[..., None], logits, 0).mean(0)

    def _up(self, path, x, mask, skip, fine):
        y = jnp.where(mask[..., None], self.neuron(x), 0)
        y = spread(y, at(self.params, path)["conv"]["weight"], fine.shape[1:])
        u = self._norm((*path, "norm"), jnp.where(fine[..., None], y, 0), fine)
        f = self._mix((*path, "first"), jnp.concatenate([u, skip], -1), fine)
        return u + self._mix((*path, "second"), f, fine)

    def _mix(self, path, x, mask):
        linear = at(self.params, path)["linear"]
        y = self.neuron(x) @ linear["weight"] + linear["bias"]
        return self._norm((*path, "norm"), jnp.where(mask[..., None], y, 0), mask)
