"""The single-stage E-3DSNN detector as dense convolutions on the full grid."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from tests.reference.e3dsnn import EPS, at
from tests.reference.e3dsnn_nuscenes import conv, reached, same


class DenseDetector:
    """One pass: scores, codes and directions, [B, H, W, ...]; T = 1.

    Args:
      params, stats: pure parameters and statistics; stats None normalises by the batch.
      neuron: from values to spikes. light: the backbone without shortcuts.
    """

    def __init__(self, params, stats, neuron, *, light=False):
        self.params, self.stats, self.neuron, self.light = params, stats, neuron, light

    def __call__(self, grid, mask):
        stem = self.params["stem"]
        x = self._norm(("stem", "norm"), conv(grid, stem["conv"]["weight"], *same(3)), mask)
        branches = (
            [("first",)] if self.light else [("stem", "second"), ("stem", "third"), ("first",)]
        )
        for path in branches:
            x = self._branch(path, x, mask)
        for index in sorted(self.params["levels"]):
            x, mask = self._level(("levels", index), x, mask)
        geometry = (3, 1, 1), (2, 1, 1), (0, 0, 0)
        below = reached(mask, *geometry)
        x = conv(x, self.params["column"]["conv"]["weight"], *geometry)
        x = self.neuron(self._norm(("column", "norm"), x, below))
        x = jnp.where(below[..., None], x, 0)
        above = jnp.moveaxis(x, 1, -1)  # [B, Y, X, C, Z]: channel c * Z + z
        return self._heads(self._bev(above.reshape(*above.shape[:3], -1)))

    def _level(self, path, x, mask):
        geometry = (3, 3, 3), (2, 2, 2), (1, 1, 1)
        below = reached(mask, *geometry)
        x = self._branch((*path, "down"), x, mask, below, geometry)
        for index in sorted(at(self.params, (*path, "blocks"))):
            own = (*path, "blocks", index)
            if self.light:
                x = self._branch(own, x, below)
                continue
            y = x + self._branch((*own, "first"), x, below)
            x = y + self._branch((*own, "third"), self._branch((*own, "second"), y, below), below)
        return x, below

    def _branch(self, path, x, mask, out=None, geometry=None):
        out, geometry = (mask, same(3)) if out is None else (out, geometry)
        spikes = jnp.where(mask[..., None], self.neuron(x), 0)
        y = conv(spikes, at(self.params, path)["conv"]["weight"], *geometry)
        return self._norm((*path, "norm"), y, out)

    def _bev(self, x):
        found, net = [], self.params["bev"]
        for i in sorted(net["stages"]):
            for j in sorted(net["stages"][i]["branches"]):
                path = ("bev", "stages", i, "branches", j)
                spikes = x if (i, j) == (0, 0) else self.neuron(x)
                x = self._flat(path, spikes, 2 if i and j == 0 else 1)
            up = ("bev", "ups", i)
            y = lax.conv_transpose(
                self.neuron(x), at(self.params, up)["conv"]["kernel"], (2**i, 2**i), "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )  # fmt: skip
            found.append(self._norm((*up, "norm"), y, jnp.ones(y.shape[:3], bool)))
        return jnp.concatenate(found, -1)

    def _flat(self, path, x, stride):
        layer = at(self.params, path)["conv"]
        weight = layer["weight"] if "weight" in layer else layer["kernel"]
        y = lax.conv_general_dilated(
            x, weight.astype(x.dtype), (stride, stride), [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return self._norm((*path, "norm"), y, jnp.ones(y.shape[:3], bool))

    def _heads(self, x):
        layers = (self.params["head"][name] for name in ("scores", "boxes", "directions"))
        return [x @ layer["kernel"] + layer["bias"] for layer in layers]

    def _norm(self, path, x, mask):
        here, norm, axes = mask[..., None], at(self.params, path), tuple(range(x.ndim - 1))
        if self.stats is None:
            count = jnp.maximum(mask.sum(), 1)
            mean = jnp.where(here, x, 0).sum(axes) / count
            var = jnp.where(here, (x - mean) ** 2, 0).sum(axes) / count
        else:
            mean, var = at(self.stats, path)["mean"], at(self.stats, path)["var"]
        return jnp.where(here, norm["scale"] * (x - mean) / jnp.sqrt(var + EPS) + norm["shift"], 0)
