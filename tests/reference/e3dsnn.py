"""E-3DSNN as dense convolutions on the full grid, masked to the occupied voxels."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

EPS = 1e-3


def conv(x, weight, mask, stride=1):
    """[T, B, Z, Y, X, C] and [K, C, O]; 0 where `mask` [B, Z, Y, X] is False."""
    edge = round(weight.shape[0] ** (1 / 3))
    kernel = weight.reshape(edge, edge, edge, *weight.shape[1:])
    y = lax.conv_general_dilated(
        x.reshape(-1, *x.shape[2:]),
        kernel.astype(x.dtype),
        (stride,) * 3,
        "SAME" if stride == 1 else "VALID",
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
    )
    return jnp.where(mask[..., None], y.reshape(*x.shape[:2], *y.shape[1:]), 0)


def coarser(mask):
    """A site of the next level is occupied if one of its eight voxels is."""
    z, y, x = (e // 2 for e in mask.shape[1:])
    return mask[:, : 2 * z, : 2 * y, : 2 * x].reshape(-1, z, 2, y, 2, x, 2).any((2, 4, 6))


def integer(h, levels):
    """floor(clip(h, 0, D) + 0.5) with gradient 1 strictly inside (0, D)."""
    line = jnp.where((h > 0) & (h < levels), h, 0)
    return lax.stop_gradient(jnp.floor(jnp.clip(h, 0, levels) + 0.5)) + (
        line - lax.stop_gradient(line)
    )


def integer_neuron(levels=4, beta=0.25, detach=True):
    """The recurrence h[t] = beta * (h[t-1] - s[t-1]) + x[t] as a Python loop."""

    def fire(x):
        v, spikes = jnp.zeros_like(x[0]), []
        for current in x:
            h = beta * v + current
            s = integer(h, levels)
            v = h - jnp.where(detach, lax.stop_gradient(s), s)
            spikes.append(s)
        return jnp.stack(spikes)

    return fire


def at(tree, path):
    """The part of nested dicts at a path of keys."""
    for key in path:
        tree = tree[key]
    return tree


class Dense:
    """One pass of the network; afterwards it holds what every layer received and measured.

    Args:
      params: pure parameters of an E3DSNN, nested dicts. stats: its running statistics; None
        normalises by the batch.
      neuron: from [T, B, Z, Y, X, C] to spikes of that shape.
      steps: how often a static input is repeated. spike_head: a neuron before the head.
    """

    def __init__(self, params, stats, neuron, *, steps=1, spike_head=False):
        self.params, self.stats, self.neuron = params, stats, neuron
        self.steps, self.spike_head = steps, spike_head
        self.moments = {}  # of each norm, by its path: mean and unbiased variance
        self.inputs = {}  # of each weighted layer, by its dotted path: [T, B, Z, Y, X, C]
        self.masks = {}  # of those inputs

    def __call__(self, grid, mask):
        """Logits [B, K] of a grid [T?, B, Z, Y, X, C] with occupied voxels [B, Z, Y, X]."""
        x = self._stem(grid, mask)
        for index in sorted(self.params["stages"]):
            x, mask = self._stage(("stages", index), x, mask)
        if self.spike_head:
            x = jnp.where(mask[..., None], self.neuron(x), 0)
        self.inputs["head"], self.masks["head"] = x, mask
        pooled = x.sum((2, 3, 4)) / jnp.maximum(mask.sum((1, 2, 3)), 1)[:, None]
        return (pooled @ self.params["head"]["kernel"] + self.params["head"]["bias"]).mean(0)

    def _stem(self, grid, mask):
        static = grid.ndim == 5
        x = self._layer(("stem",), grid[None] if static else grid, mask)
        if static:
            x = jnp.broadcast_to(x, (self.steps, *x.shape[1:]))
        for branch in ("second", "third"):
            x = self._layer(("stem", branch), self.neuron(x), mask)
        return x

    def _stage(self, path, x, mask):
        below = coarser(mask)
        x = self._layer((*path, "down"), self.neuron(x), mask, below)
        for index in sorted(at(self.params, path)["blocks"]):
            own = (*path, "blocks", index)
            y = x + self._layer((*own, "first"), self.neuron(x), below)
            inner = self._layer((*own, "second"), self.neuron(y), below)
            x = y + self._layer((*own, "third"), self.neuron(inner), below)
        return x, below

    def _layer(self, path, x, mask, below=None):
        x, name = jnp.where(mask[..., None], x, 0), ".".join(map(str, (*path, "conv")))
        self.inputs[name], self.masks[name] = x, mask
        weight = at(self.params, path)["conv"]["weight"]
        stride, mask = (1, mask) if below is None else (2, below)
        return self._norm((*path, "norm"), conv(x, weight, mask, stride), mask)

    def _norm(self, path, x, mask):
        here, norm = mask[..., None], at(self.params, path)
        if self.stats is None:
            count = jnp.maximum(x.shape[0] * mask.sum(), 1)
            mean = x.sum((0, 1, 2, 3, 4)) / count
            var = jnp.where(here, (x - mean) ** 2, 0).sum((0, 1, 2, 3, 4)) / count
            self.moments[path] = mean, var * count / jnp.maximum(count - 1, 1)
        else:
            running = at(self.stats, path)
            mean, var = running["mean"], running["var"]
        y = norm["scale"] * (x - mean) / jnp.sqrt(var + EPS) + norm["shift"]
        return jnp.where(here, y, 0)


def pairs_of(mask, kernel):
    """For each occupied voxel, how many kernel-map pairs read it: a loop over voxels and offsets.

    Args:
      mask: bool [Z, Y, X]. kernel: 3 for a submanifold convolution, 2 for one of stride 2.
    """
    degree = np.zeros(mask.shape, int)
    if kernel == 2:
        inside = [e // 2 * 2 for e in mask.shape]
        for site in np.argwhere(mask):
            degree[tuple(site)] = all(site < inside)
        return degree
    for site in np.argwhere(mask):
        for offset in np.ndindex(3, 3, 3):
            other = site + offset - 1
            if all(other >= 0) and all(other < mask.shape):
                degree[tuple(site)] += int(mask[tuple(other)])
    return degree
