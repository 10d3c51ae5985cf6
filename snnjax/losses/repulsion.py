"""A penalty that keeps the taps of a synapse apart."""

from __future__ import annotations

from itertools import combinations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays.check import as_delay
from snnjax.surrogates.core import compute_dtype


def tap_repulsion(place: ArrayLike, *, distance: float = 1.0) -> Array:
    """A penalty on taps of one synapse that are closer to each other than a distance.

        penalty = mean over synapses and pairs c < e of max(1 - |p_c - p_e| / distance, 0)

    Two taps on one step are a single connection with the sum of their weights: hardware stores one,
    and the parameters of the other are lost (`snnjax.delays.count_collisions`). The gradient
    separates them with constant magnitude while they are closer than `distance`, and is 0
    otherwise. Taps at the same place, for instance both clamped, separate in index order. Taps
    more than 1 apart round to different steps.

        loss + 0.1 * sum(tap_repulsion(d.delay[...]) for d in learned_delays(model).values())

    Args:
      place: delays d [I, O, Kc], or positions p [D, I, O, Kc] in D dimensions, Kc at least 2.
      distance: in steps, above 0; the sphere of influence of a tap.

    Returns:
      A scalar in float32, or wider.

    Raises:
      ValueError: a shape without pairs, or a distance that is not above 0.
      TypeError: places that are not floating.

    Thomas et al., "KPConv", ICCV 2019 (there each term squared), as Khalfaoui-Hassani, Pellegrini
    and Masquelier took it over for DCLS (ICLR 2023; their code adds the square of the mean over
    layers, with distance 1).

    >>> float(tap_repulsion(jnp.array([[[3.0, 3.25, 9.0]]])))  # 0.75, 0 and 0 for the three pairs
    0.25
    """
    place = as_delay(place)
    if place.ndim not in (3, 4) or place.shape[-1] < 2 or not place.size:
        raise ValueError(
            "`tap_repulsion` takes delays [I, O, Kc] or positions [D, I, O, Kc] with Kc of at "
            f"least 2; got {place.shape}. A synapse with one tap has nothing to repel: omit the "
            "penalty, or give the layer kernel_count=2."
        )
    if not distance > 0:
        raise ValueError(f"`tap_repulsion` needs distance above 0; got {distance}.")
    place = place.astype(compute_dtype(place.dtype))
    place = place.reshape(-1, *place.shape[-3:])  # a delay has one dimension
    first, second = np.array([*combinations(range(place.shape[-1]), 2)]).T
    apart = _length(place[..., second] - place[..., first])
    return jnp.maximum(1 - apart / distance, 0).mean()


def _length(step: Array) -> Array:
    """The Euclidean norm over the first axis; its derivative at 0 is that of the first entry."""
    square = jnp.square(step).sum(0)
    none = square == 0
    return jnp.where(none, step[0], jnp.sqrt(jnp.where(none, 1, square)))
