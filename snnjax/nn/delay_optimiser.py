"""A separate update rule for delays, which keeps them within bounds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from snnjax.nn.delay_buffer import Delays
from snnjax.nn.spaced_conv import SpacedConv

NAMES = ("delay", "position")
"""Last names of the parameters that are places, not weights."""


def label_delays(params: Any) -> Any:
    """Labels for `optax.partition`: "delay" for delays and positions, "weight" for all others.

    The last name of a leaf's path decides.
    """
    return jax.tree.map_with_path(
        lambda path, _: "delay" if _last(path) in NAMES else "weight", params
    )


def delay_optimiser(
    weights: optax.GradientTransformation,
    delays: optax.GradientTransformation,
    model: nnx.Module,
) -> optax.GradientTransformation:
    """One rule for weights, another for delays, which never leave their buffers.

        p <- clip(p + u, low, high)         for delays and positions, after each update

    As published: Adam for both, the rate of the delays 100 times that of the weights, and no decay.

    Args:
      weights, delays: rules, for instance `optax.adamw(1e-3)` and `optax.adam(0.1)`.
      model: the model whose parameters are updated, as `nnx.as_pure(nnx.state(model, nnx.Param))`.

    Raises:
      ValueError: an update contains a delay or position that the model does not have.

    >>> from snnjax.nn import Delay
    >>> layer = Delay(2, max_delay=4, rngs=nnx.Rngs(0))
    >>> params = nnx.as_pure(nnx.state(layer, nnx.Param))
    >>> rule = delay_optimiser(optax.sgd(1e-3), optax.sgd(1.0), layer)
    >>> grads = jax.tree.map(lambda p: jnp.full_like(p, -99.0), params)
    >>> updates, _ = rule.update(grads, rule.init(params), params)
    >>> optax.apply_updates(params, updates)["delays"]["delay"].tolist()
    [4.0, 4.0]
    """
    bounds = _bounds(model)
    rules = optax.partition({"weight": weights, "delay": delays}, label_delays)

    def clip(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("clipping delays needs the parameters: update(grads, state, params).")

        def one(path: Any, update: Any, param: Any) -> Any:
            if _last(path) not in NAMES:
                return update
            low, high = _bound(bounds, _names(path))
            return jnp.clip(param + update, low, high) - param

        return jax.tree.map_with_path(one, updates, params), state

    return optax.chain(rules, optax.GradientTransformation(optax.init_empty_state, clip))


def _bound(bounds: dict[tuple[str, ...], Any], names: tuple[str, ...]) -> tuple[Any, Any]:
    if names not in bounds:
        known = ", ".join("/".join(path) for path in bounds) or "none"
        raise ValueError(
            f"`delay_optimiser` has no buffer for {'/'.join(names)}; it has {known}. Give it "
            "the model of these parameters, and call none of your own delay or position."
        )
    return bounds[names]


def _bounds(model: nnx.Module) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """Low and high of every bounded parameter, by path."""
    return {
        (*map(str, path), name): pair
        for path, module in nnx.iter_modules(model)
        if isinstance(module, (Delays, SpacedConv))
        for name, pair in module.bounds().items()
    }


def _names(path: Any) -> tuple[str, ...]:
    keys = (getattr(k, "key", getattr(k, "name", getattr(k, "idx", None))) for k in path)
    return tuple(str(key) for key in keys if key is not None)


def _last(path: Any) -> str:
    names = _names(path)
    return names[-1] if names else ""
