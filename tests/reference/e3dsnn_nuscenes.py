"""E-3DSNN with centre heads as dense convolutions on the full grid, masked to occupied sites."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import lax

from tests.reference.e3dsnn import EPS, at

NUMBERS = ("NDHWC", "DHWIO", "NDHWC")


def conv(x, weight, kernel, stride, padding):
    """[B, Z, Y, X, C] and [K, C, O]."""
    return lax.conv_general_dilated(
        x, weight.reshape(*kernel, *weight.shape[1:]).astype(x.dtype), stride,
        [(p, p) for p in padding], dimension_numbers=NUMBERS,
    )  # fmt: skip


def reached(mask, kernel, stride, padding):
    """Output sites that some occupied input site reaches."""
    ones = jnp.ones((math.prod(kernel), 1, 1))
    return conv(mask[..., None].astype(jnp.float64), ones, kernel, stride, padding)[..., 0] > 0


class DenseCentres:
    """One pass: heat maps, codes [B, Y, X, ...] and the mask of the plane [B, Y, X].

    Args:
      params, stats: pure parameters and statistics; stats None normalises by the batch.
      neuron: from [B, Z, Y, X, C] to spikes. levels: number of levels. joined: of them, the last.
    """

    def __init__(self, params, stats, neuron, *, joined):
        self.params, self.stats, self.neuron, self.joined = params, stats, neuron, joined

    def __call__(self, grid, mask):
        x = self._norm(("norm",), conv(grid, self.params["conv"]["weight"], *same(3)), mask)
        x = self._blocks(("blocks",), x, mask)
        found = []
        for index in sorted(self.params["levels"]):
            x, mask = self._level(("levels", index), x, mask)
            found.append((x, mask))
        x, mask = self._join(found[-self.joined :])
        geometry = (1, 3, 3), (1, 1, 1), (0, 1, 1)
        wide = reached(mask, *geometry)
        x = self._branch(("spread",), x, mask, wide, geometry)
        x = self._branch(("shared",), x, wide, wide, geometry)
        spikes = jnp.where(wide[..., None], self.neuron(x), 0)
        heads = [self._head(("heads", i), spikes, wide) for i in sorted(self.params["heads"])]
        heat, codes = zip(*heads, strict=True)
        return [h[:, 0] for h in heat], [c[:, 0] for c in codes], wide[:, 0]

    def _level(self, path, x, mask):
        geometry = (3, 3, 3), (2, 2, 2), (1, 1, 1)
        below = reached(mask, *geometry)
        x = self._branch((*path, "down"), x, mask, below, geometry)
        return self._blocks((*path, "blocks"), x, below), below

    def _join(self, levels):
        """Sites of every level at p * 2^k on the finest grid, summed, and summed along z."""
        total, mask = levels[0]
        for k, (x, occupied) in enumerate(levels[1:], 1):
            z, y, w = (slice(0, s * 2**k, 2**k) for s in x.shape[1:4])
            big = [max(s * 2**k, t) for s, t in zip(x.shape[1:4], total.shape[1:4], strict=True)]
            moved = jnp.zeros((len(x), *big, x.shape[-1]), x.dtype).at[:, z, y, w].set(x)
            there = jnp.zeros((len(x), *big), bool).at[:, z, y, w].set(occupied)
            zz, yy, xx = total.shape[1:4]
            total, mask = total + moved[:, :zz, :yy, :xx], mask | there[:, :zz, :yy, :xx]
        return total.sum(1, keepdims=True), mask.any(1, keepdims=True)

    def _blocks(self, path, x, mask):
        for index in sorted(at(self.params, path)):
            own = (*path, index)
            y = self._branch((*own, "first"), x, mask, mask, same(3))
            x = x + self._branch((*own, "second"), y, mask, mask, same(3))
        return x

    def _branch(self, path, x, mask, out, geometry):
        spikes, layer = jnp.where(mask[..., None], self.neuron(x), 0), at(self.params, path)["conv"]
        y = conv(spikes, layer["weight"], *geometry) + layer.get("bias", 0)
        return self._norm((*path, "norm"), y, out)

    def _head(self, path, spikes, mask):
        parts = [(*path, "codes", i) for i in sorted(at(self.params, (*path, "codes")))]
        codes = [self._output(part, spikes, mask) for part in parts]
        return self._output((*path, "heat"), spikes, mask), jnp.concatenate(codes, -1)

    def _output(self, path, spikes, mask):
        hidden, last = at(self.params, path)["hidden"], at(self.params, path)["last"]
        y = self._norm((*path, "norm"), spikes @ hidden["weight"] + hidden["bias"], mask)
        return jnp.where(mask[..., None], y @ last["weight"] + last["bias"], 0)

    def _norm(self, path, x, mask):
        here, norm = mask[..., None], at(self.params, path)
        if self.stats is None:
            count = jnp.maximum(mask.sum(), 1)
            mean = jnp.where(here, x, 0).sum((0, 1, 2, 3)) / count
            var = jnp.where(here, (x - mean) ** 2, 0).sum((0, 1, 2, 3)) / count
        else:
            mean, var = at(self.stats, path)["mean"], at(self.stats, path)["var"]
        return jnp.where(here, norm["scale"] * (x - mean) / jnp.sqrt(var + EPS) + norm["shift"], 0)


def same(kernel):
    """The geometry of a submanifold convolution."""
    return (kernel,) * 3, (1, 1, 1), (kernel // 2,) * 3
