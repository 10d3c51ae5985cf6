"""Spiking convolutional networks in evaluation as plain loops over time, in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray
Weights = dict[str, Array]


class Loop:
    """A network whose weights and statistics lie by path in `w`; `v` are its membranes."""

    def __init__(self, w: Weights, decay: float, threshold: float, subtract: bool, twin: bool):
        self.w, self.decay, self.threshold = w, decay, threshold
        self.subtract, self.twin = subtract, twin
        self.v: Weights = {}

    def conv(self, path: str, x: Array, stride: int = 1) -> Array:
        """Sum over taps of a centred window, [B, H, W, C] to [B, H', W', O]."""
        name = f"{path}/weight"
        w = self.w[name if name in self.w else f"{path}/kernel"]
        edge = len(w)
        padded = np.pad(x, ((0, 0), (edge // 2,) * 2, (edge // 2,) * 2, (0, 0)))
        out = 0.0
        for i in range(edge):
            for j in range(edge):
                shifted = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
                out = out + shifted[:, ::stride, ::stride] @ w[i, j]
        return np.asarray(out)

    def norm(self, path: str, x: Array) -> Array:
        scale, shift, mean, var = (
            self.w[f"{path}/{name}"] for name in ("scale", "shift", "mean", "var")
        )
        return scale * (x - mean) / np.sqrt(var + 1e-5) + shift

    def neurons(self, path: str, x: Array) -> Array:
        if self.twin:
            return np.maximum(x, 0)
        v = self.decay * self.v.get(path, np.zeros_like(x)) + x
        z = (v >= self.threshold).astype(x.dtype)
        self.v[path] = v - self.threshold * z if self.subtract else v * (1 - z)
        return z

    def current(self, path: str, x: Array) -> Array:
        return self.norm(f"{path}/norm", self.conv(f"{path}/layer", x))

    def unit(self, path: str, x: Array, stride: int = 1, pool: bool = False) -> Array:
        x = self.conv(f"{path}/layer", x, stride)
        x = max_pool(x) if pool else x
        return self.neurons(f"{path}/neurons", self.norm(f"{path}/norm", x))

    def head(self, x: Array) -> Array:
        return x @ self.w["scores/head/kernel"] + self.w["scores/head/bias"]

    def mean_over_time(self, step: Callable[[Array], Array], frames: Array) -> Array:
        return np.mean([step(frame) for frame in frames], axis=0)


def max_pool(x: Array) -> Array:
    b, h, w, c = x.shape
    x = x[:, : h // 2 * 2, : w // 2 * 2]
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def vgg(net: Loop, frames: Array, depths: tuple[int, ...], early: bool, average: bool) -> Array:
    """Scores of frames [T, B, H, W, C]."""

    def step(x: Array) -> Array:
        unit = 0
        for depth in depths:
            for index in range(depth):
                x = net.unit(f"units/{unit}", x, pool=early and index == depth - 1)
                unit += 1
            x = x if early else max_pool(x)
        return net.head(x.mean((1, 2)) if average else x.reshape(len(x), -1))

    return net.mean_over_time(step, frames)


def resnet(net: Loop, frames: Array, strides: tuple[int, ...], membranes: bool) -> Array:
    """Scores of frames [T, B, H, W, C]; the first block keeps the shape, others may not."""

    def spike_block(path: str, x: Array, stride: int) -> Array:
        y = net.unit(f"{path}/second", net.unit(f"{path}/first", x, stride))
        down = f"{path}/down"
        return y + (net.unit(down, x[:, ::stride, ::stride]) if stride > 1 else x)

    def membrane_block(path: str, x: Array, stride: int) -> Array:
        z = net.neurons(f"{path}/neurons", x)
        y = net.current(f"{path}/second", net.unit(f"{path}/first", z, stride))
        down = f"{path}/down"
        return y + (net.current(down, z[:, ::stride, ::stride]) if stride > 1 else x)

    def step(x: Array) -> Array:
        x = net.current("stem", x)
        x = x if membranes else net.neurons("neurons", x)
        for i, stride in enumerate(strides):
            x = (membrane_block if membranes else spike_block)(f"blocks/{i}", x, stride)
        x = net.neurons("last", x) if membranes else x
        return net.head(x.mean((1, 2)))

    return net.mean_over_time(step, frames)
