"""Weight scale at initialisation: the gain that makes a population fire at a given rate."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from snnjax.nn.neurons.population import Population


def gain_for_rate(
    population: Population, current: Array, rate: float, *, largest: float = 1024.0
) -> Array:
    """The input gain at which a population fires at the target rate.

        find g in (0, largest] with mean_{t, b, n} spikes(g * current) = rate

    by twenty bisections of log g, a relative error of 1e-4. Multiply the kernel (and
    bias) of the layer before the population by it, before training.

    Args:
      population: spiking, with its constants.
      current: [T, B, ..., N], output of the previous layer for a typical batch.
      rate: spikes per neuron and step, in (0, 1); typically 0.05 to 0.2.
      largest: bound of the gain. The smallest is 1 / largest.

    Returns:
      The gain, []. The rate is a staircase in it, so the one reached may differ by a spike.

    Raises:
      ValueError: the rate cannot be reached: even with the largest gain the neurons fire less, or
        even with the smallest more; or the current does not fit, is empty, or has a NaN.

    >>> from snnjax.nn import LIF
    >>> x = jax.random.normal(jax.random.key(0), (50, 4, 8))
    >>> layer = LIF(8, tau=5.0)
    >>> gain = gain_for_rate(layer, x, 0.1)
    >>> _, z = layer(layer.init_state((4,)), gain * x)
    >>> bool(abs(z.mean() - 0.1) < 0.01)
    True
    """
    if not 0 < rate < 1:
        raise ValueError(f"`rate` must be in (0, 1) spikes a step; got {rate}.")
    if not largest > 1:
        raise ValueError(f"`largest` must be above 1; got {largest}.")
    state = population.init_state(population.batch_shape(current))
    current = population.check_input(state, current)

    @jax.jit
    def rate_at(log_gain: Array) -> Array:
        return population(state, jnp.exp(log_gain) * current)[1].astype(jnp.float32).mean()

    high = jnp.log(jnp.float32(largest))
    least, most = float(rate_at(-high)), float(rate_at(high))
    if not least <= rate <= most:
        raise ValueError(
            f"no gain in [1/{largest:g}, {largest:g}] gives a rate of {rate}: the neurons fire "
            f"between {least:.3g} and {most:.3g}. Give another `current`, time constant or rate."
        )

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = 0.5 * (low + high)
        above = rate_at(middle) > rate
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    low, high = lax.fori_loop(0, 20, halve, (-high, high))
    return jnp.exp(0.5 * (low + high))
