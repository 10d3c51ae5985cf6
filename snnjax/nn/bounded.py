"""Parameters that must stay in a range, such as delays in their buffer."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike


class Bounded(nnx.Module):
    """A module with parameters that an update may not move out of their range."""

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """The least and the largest value of each such parameter, by its name."""
        raise NotImplementedError

    def clamp(self) -> None:
        """Move what lies outside to the nearer bound."""
        for name, (low, high) in self.bounds().items():
            variable = getattr(self, name)
            variable[...] = jnp.clip(variable[...], low, high)
