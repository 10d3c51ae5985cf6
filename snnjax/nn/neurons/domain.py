"""Domains of constants, and parametrisations that keep trainable constants inside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


class Domain(NamedTuple):
    """The interval of valid values of a constant.

    A trainable constant is stored as an unconstrained number x, so that no update leaves the
    interval, even at the extremes of float32: exponents are clipped at +-34.5.

        x                                 unbounded
        low + exp(x) or high - exp(x)     one bound
        low + (high - low) sigmoid(x)     two bounds
        high tanh(x / high)               two opposite bounds; close to x near 0

    Attributes:
      low, high: the limits.
      closed: whether a constant that is not trained may lie on them.
      reason: where the limits come from, for errors.
      above, under: another constant that is the low or the high limit where it is tighter.
      ratio: factor by which a constant stays away from the one that limits it, 1 for none.
    """

    low: float = -math.inf
    high: float = math.inf
    closed: bool = False
    reason: str = ""
    above: str = ""
    under: str = ""
    ratio: float = 1.0

    @property
    def prefix(self) -> str:
        """Prefix of the trained variable's name: a trained `tau` above 0 is stored as `log_tau`."""
        known = {REAL: "", POSITIVE: "log_", UNIT: "logit_"}
        return known.get(self, "free_")

    def inside(self, value: np.ndarray) -> bool:
        """Whether all of `value` lie in the interval, on its ends if it is closed."""
        within = (value > self.low) & (value < self.high)
        ends = self.closed & ((value == self.low) | (value == self.high))
        return bool(np.all(np.isfinite(value) & (within | ends)))

    @property
    def words(self) -> str:
        """The condition on a constant, in words for messages."""
        if self.closed:
            return f"lie in [{self.low:g}, {self.high:g}]"
        if self.high < math.inf:
            return f"lie between {self.low:.4g} and {self.high:.4g}{self.reason}"
        least = f" and above {self.low:.4g}" if self.low > -math.inf else ""
        return f"be finite{least}{self.reason}"

    def limits(self, xp: ModuleType, limit: Any) -> tuple[Any, Any]:
        """The limits of a trainable constant: floats, or arrays where another one limits it."""
        low, high = self.low, self.high
        if self.above:
            low = xp.asarray(xp.maximum(low, limit * self.ratio + APART))
        if self.under:
            high = xp.asarray(xp.minimum(high, limit / self.ratio - APART))
        return low, high


def domains(**named: Domain) -> Mapping[str, Domain]:
    """Domains by the names of their constants."""
    return MappingProxyType(named)


REAL = Domain()
POSITIVE = Domain(low=0.0)
UNIT = Domain(low=0.0, high=1.0, closed=True)
APART = 1e-6  # between a constant and another that limits it; float32 tells numbers near 1 apart
INNER = 1.0 + 1e-6  # a limit that must not be reached when x diverges is tightened by this factor
LARGEST = 1e15  # of a trained constant, as 1 / LARGEST is the least distance from a limit: its
EXPONENT = math.log(LARGEST)  # square and the inverse of that are finite in float32


def euler_time_constant(dt: ArrayLike) -> Domain:
    """Time constants with which forward Euler decays: above dt / 2, for the longest step."""
    longest = float(np.max(np.asarray(dt)))
    reason = f" (half of dt={longest:g}) to be trained, for forward Euler diverges below it"
    return Domain(low=0.5 * longest * INNER, reason=reason)


def euler_frequency(dt: ArrayLike) -> Domain:
    """Angular frequencies with dt * abs(w) < 1, for the longest step."""
    longest = float(np.max(np.asarray(dt)))
    reason = f", for `dt` * abs(w) < 1 with dt={longest:g}, beyond which Euler rotations diverge"
    return Domain(low=-1.0 / (longest * INNER), high=1.0 / (longest * INNER), reason=reason)


def free(value: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """The unconstrained number that represents a constant between `low` and `high`."""
    if not _there(high):
        return np.log(value - low) if _there(low) else value
    if not _there(low):
        return np.log(high - value)
    if _opposite(low, high):
        return high * np.arctanh(value / high)
    return np.log((value - low) / (high - value))


def held(x: Array, low: Any, high: Any) -> Array:
    """The constant between `low` and `high` that `x` represents; NaN for NaN."""
    if not _there(low) and not _there(high):
        return jnp.clip(x, -LARGEST, LARGEST)
    if not _there(high):
        return low + jnp.exp(jnp.clip(x, -EXPONENT, EXPONENT))
    if not _there(low):
        return high - jnp.exp(jnp.clip(x, -EXPONENT, EXPONENT))
    if _opposite(low, high):
        return high * jnp.tanh(jnp.clip(x / high, -EXPONENT, EXPONENT))
    return low + (high - low) * jax.nn.sigmoid(jnp.clip(x, -EXPONENT, EXPONENT))


def _there(limit: Any) -> bool:
    return not (isinstance(limit, float) and math.isinf(limit))


def _opposite(low: Any, high: Any) -> bool:
    return isinstance(low, float) and isinstance(high, float) and low == -high
