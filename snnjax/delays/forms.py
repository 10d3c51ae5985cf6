"""Two ways of computing a product over time, directly or by a DFT, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike

from snnjax.sparse import narrow_product
from snnjax.unroll import unroll

FORMS = ("direct", "dft")
BLOCK = 64
"""Minimum length of a transform if the sequence is that long; three kernels if that is more."""
WIDTH = 64
"""Inputs whose kernels and spectra are computed in one iteration on a CPU, to fit its cache."""


@dataclass(frozen=True)
class FormRule:
    """Use the transform on this backend where it saves at least this factor of multiplications."""

    backend: str
    saving: float


@dataclass(frozen=True)
class FormTable:
    """Chooses "direct" or "dft" from static shapes alone, so that a resumed run chooses the same.

    The default was measured by `experiments/bench/delays.py`; backends without a rule use the
    direct form.

    >>> shapes = {"steps": 100, "inputs": 700, "outputs": 256, "batch": 64}
    >>> FormTable().choose(max_delay=24, **shapes, backend="cpu")
    'dft'
    >>> FormTable().choose(max_delay=2, **shapes, backend="cpu")
    'direct'
    """

    rules: tuple[FormRule, ...] = (FormRule("cpu", 1.8),)

    def choose(
        self,
        *,
        steps: int,
        max_delay: int,
        inputs: int,
        outputs: int,
        batch: int,
        backend: str | None = None,
    ) -> str:
        """The form for `steps` outputs of `batch` sequences and delays of up to `max_delay`."""
        size = max_delay + 1
        backend = jax.default_backend() if backend is None else backend
        direct = steps * batch * size * inputs * outputs
        length, blocks = transform_length(steps, size)
        rows = factors(length)
        product = rows * blocks * batch * inputs * outputs
        transforms = rows * length * blocks * batch * (inputs + outputs)
        transforms += rows * size * inputs * outputs
        for rule in self.rules:
            if rule.backend == backend:
                return "dft" if direct > rule.saving * (product + transforms) else "direct"
        return "direct"


def transform_length(steps: int, size: int) -> tuple[int, int]:
    """The length of a transform, and the number of overlapping blocks that cover `steps`.

    >>> transform_length(100, 25), transform_length(1000, 25)
    ((74, 2), (74, 20))
    """
    useful = max(BLOCK, 3 * size) - size + 1
    blocks = -(-steps // useful)
    return -(-steps // blocks) + size - 1, blocks


def factors(length: int) -> int:
    """Real products of a transform: three per frequency, one for those without imaginary part.

    >>> factors(74) == len(_matrices(74, 25)[0]), factors(75) == len(_matrices(75, 25)[0])
    (True, True)
    """
    frequencies, real = length // 2 + 1, 2 - length % 2
    return 3 * frequencies - 2 * real


def direct_product(z: Array, kernel: Array, dtype: DTypeLike | None = None) -> Array:
    """Correlate in the time domain, as one convolution.

        y[t] = sum_j z[t + K - 1 - j] @ kernel[j]

    Args:
      z: [K - 1 + T, B, I]; the first K - 1 steps are the past.
      kernel: [K, I, O].
      dtype: dtype to which both are rounded, see `snnjax.sparse.narrow_product`.

    Returns:
      [T, B, O].
    """
    layout = ("HNC", "HIO", "HNC")
    product = partial(
        lax.conv_general_dilated, window_strides=(1,), padding="VALID", dimension_numbers=layout
    )
    return narrow_product(product, z, kernel[::-1], dtype)


def dft_product(
    z: Array, synapses: Any, kernel: Callable[[Any], Array], size: int, outputs: int
) -> Array:
    """Correlate in the frequency domain, with the transform as a matmul.

    Each block of time is transformed, multiplied factor by factor, and transformed back;
    the outputs that wrapped round are dropped (overlap-save), so the cost is linear in T. A
    spectrum is larger than its kernel and memory is slow, so the inputs are divided into groups.
    The kernels and spectra of a group are computed, used and dropped in one iteration, and
    recomputed in the backward pass.

    Args:
      z: [K - 1 + T, B, I], as for `direct_product`.
      synapses: a pytree of arrays [I, ...].
      kernel: function from a group of `synapses`, [G, ...], to its kernel [K, G, O].
      size: K. outputs: O.

    Returns:
      [T, B, O].
    """
    steps, batch, inputs = z.shape[0] - size + 1, z.shape[1], z.shape[2]
    length, blocks = transform_length(steps, size)
    into, spread, back = (jnp.asarray(m, z.dtype) for m in _matrices(length, size))
    width = WIDTH if jax.default_backend() == "cpu" else inputs
    groups = -(-inputs // width)
    frames = _frames(z, length, blocks, size)
    split = partial(_groups_of, groups=groups, width=min(width, inputs))
    parts = split(frames, axis=2), jax.tree.map(split, synapses)

    def turn(total: Array, part: tuple[Array, Any]) -> tuple[Array, None]:
        frame, own = part
        signal, spectrum = _mix(into, frame), _mix(spread, kernel(own))  # [R, M, G], [R, G, O]
        return total + jnp.matmul(signal, spectrum, precision=lax.Precision.HIGHEST), None

    start = jnp.zeros((into.shape[0], blocks * batch, outputs), z.dtype)
    if groups == 1:
        total = turn(start, jax.tree.map(lambda x: x[0], parts))[0]
    else:
        total = unroll(turn, start, parts)[0]  # over groups, not over time
    y = _mix(back, total)  # [useful, blocks * B, O]
    y = y.reshape(-1, blocks, batch, outputs).swapaxes(0, 1)
    return y.reshape(-1, batch, outputs)[:steps]


def _mix(matrix: Array, x: Array) -> Array:
    """A transform along the first axis: [R, N] @ [N, ...]."""
    flat = x.reshape(x.shape[0], -1)
    y = lax.dot(matrix, flat, precision=lax.Precision.HIGHEST)
    return y.reshape(-1, *x.shape[1:])


def _groups_of(x: Array, *, groups: int, width: int, axis: int = 0) -> Array:
    """`x` divided along `axis` into zero-padded groups of one width, on a new first axis."""
    missing = groups * width - x.shape[axis]
    if missing:
        x = jnp.pad(x, [(0, missing if a == axis else 0) for a in range(x.ndim)])
    x = x.reshape(*x.shape[:axis], groups, width, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)


def _frames(z: Array, length: int, blocks: int, size: int) -> Array:
    """Overlapping blocks of time, [length, blocks * B, I]."""
    useful = length - size + 1
    if blocks == 1:
        return z
    z = jnp.pad(z, ((0, blocks * useful + size - 1 - z.shape[0]), (0, 0), (0, 0)))
    frames = jnp.stack([z[b * useful : b * useful + length] for b in range(blocks)], axis=1)
    return frames.reshape(length, -1, z.shape[2])


def _matrices(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transforms of the signal [R, length], of the kernel [R, size], and back [useful, R].

    A product of complex numbers is three real ones (Karatsuba), of p = a c, q = b d and
    r = (a + b)(c + d): real part p - q, imaginary part r - p - q. The rows of both transforms are
    these factors for every frequency, and the inverse transform includes the sums. The first
    frequency and that of half the length have no imaginary part, so R is about 3/2 length.
    """
    frequency = np.arange(length // 2 + 1)
    angle = 2 * np.pi * np.outer(frequency, np.arange(length)) / length
    real = (frequency == 0) | (2 * frequency == length)
    twice = np.where(real, 1.0, 2.0)[:, None] / length
    cosine, sine = np.cos(angle), -np.sin(angle)
    into = np.concatenate([cosine, sine[~real], (cosine + sine)[~real]])
    by_real, by_imaginary = twice * cosine, (twice * sine)[~real]
    by_p = by_real.copy()
    by_p[~real] -= by_imaginary
    back = np.concatenate([by_p, -by_real[~real] - by_imaginary, by_imaginary])
    return into, into[:, :size], back[:, size - 1 :].T
