"""Parameters with bounds, such as delays that must fit their buffer."""

from __future__ import annotations

import jax.numpy as jnp
from jax.typing import ArrayLike

from snnjax.nn.layer import Layer


class Bounded(Layer):
    """A module whose parameters must stay within bounds during training."""

    def bounds(self) -> dict[str, tuple[ArrayLike, ArrayLike]]:
        """The least and the largest value of each such parameter, by its name."""
        raise NotImplementedError

    def clamp(self) -> None:
        """Clip the bounded parameters to their bounds."""
        for name, (low, high) in self.bounds().items():
            variable = getattr(self, name)
            variable.set_value(jnp.clip(variable[...], low, high))
