"""The interface of layers with a state."""

from __future__ import annotations

from typing import Any

from snnjax.nn.layer import Layer


class Stateful(Layer):
    """A layer that carries state through time: `(state, x) -> (state, out)`.

    A subclass defines `__call__(state, x)`, in which None as the state means at rest, and
    `rest_for`. The batch is the first axis of every leaf of a state.
    """

    spiking: bool | None = None
    """Whether the outputs are events, most of them 0. `spike_report` includes layers that say True,
    takes those that say None where they are named, and refuses those that say False."""

    def rest_for(self, x: Any) -> Any:
        """The resting state for the input `x`.

        Args:
          x: an array or a `jax.ShapeDtypeStruct`, [T, B, ..., N]; only its shape and dtype are
            read. Membranes are float32, or wider if `x` is.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define rest_for(x), its resting state for input "
            "[T, B, ..., N]."
        )


def forgotten_state(layer: Any) -> TypeError:
    """The error for `layer(x)`, which shows the line to write."""
    return TypeError(
        f"{type(layer).__name__} takes a state and an input; got one argument. Write "
        "`state, out = layer(None, x)` to start at rest; to continue a sequence, pass the state "
        "that the last call returned. In the `forward` of a Module write `run(layer, x)`, which "
        "keeps the state."
    )
