"""Can a network distinguish lags if only its delays are trained?

    python -m experiments.coincidence                       two, four and six lags, 10 seeds each
    python -m experiments.coincidence --constant 12         without narrowing the taps
    python -m experiments.coincidence --picture             four lags and one seed, drawn

Two inputs spike once each, `lag` steps apart; the class is the lag. There is one neuron per class,
and every weight is frozen at 0.6 of a threshold of 1, so a neuron fires only if its two delays make
both spikes arrive in one step. Prints, for each set of lags, the accuracy with rounded delays,
and how many seeds solve it. For 10 seeds with two, four and six lags (chance 0.5, 0.25, 0.17):

    taps that narrow        accuracy 1.00, 0.98, 1.00    solved 10, 9, 10
    narrow from the start   accuracy 0.58, 0.49, 0.38    solved none         --constant 0.23
    wide to the end         accuracy 0.50, 0.25, 0.16    solved none         --constant 12
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from snnjax.delays import clamp_delay, delayed_dense, rounded_kernel, sigma_schedule
from snnjax.delays.forms import direct_product
from snnjax.neurons import LIFParams, detach, lif_init, lif_step, zero
from snnjax.surrogates import atan
from snnjax.unroll import unroll
from snnjax.viz import Arrivals, aligned_raster, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parent / "results"
T, MAX_DELAY, BATCH, UPDATES = 64, 24, 64, 600
WEIGHT, DECAY = 0.6, 0.005
LAGS = {"two": (-6, 6), "four": (-9, -3, 3, 9), "six": (-10, -6, -2, 2, 6, 10)}


class Outcome(NamedTuple):
    """The result of one seed.

    Attributes:
      delay: [2, K]. start: the first delays.
      accuracy: with rounded delays, ties shared. before: the same for the initial delays.
    """

    delay: Array
    start: Array
    accuracy: Array
    before: Array


def sample(key: Array, lags: Array, count: int) -> tuple[Array, Array]:
    """Inputs [T, count, 2], and the class of each."""
    when, which = jax.random.split(key)
    first = jax.random.randint(when, (count,), 12, 28)
    label = jax.random.randint(which, (count,), 0, len(lags))
    times = jnp.stack([first, first + lags[label]], -1)
    return (jnp.arange(T)[:, None, None] == times).astype(jnp.float32), label


def count_spikes(current: Array) -> Array:
    """Spikes of each neuron, [B, K]."""
    step = partial(
        lif_step, LIFParams(DECAY, 1.0), spike=partial(atan, slope=5.0), reset=detach(zero)
    )
    return unroll(step, lif_init(current.shape[1:]), current)[1].sum(0)


def accuracy(delay: Array, x: Array, label: Array) -> Array:
    """Accuracy with rounded delays; a tie of n classes counts 1 / n."""
    z = jnp.pad(x, ((MAX_DELAY, 0), (0, 0), (0, 0)))
    kernel = rounded_kernel(jnp.full_like(delay, WEIGHT), delay, MAX_DELAY)
    counts = count_spikes(direct_product(z, kernel))
    best = counts == counts.max(-1, keepdims=True)
    right = jnp.take_along_axis(best, label[:, None], 1)[:, 0]
    return (right / best.sum(-1)).mean()


def learn(key: Array, lags: Array, *, constant: float | None = None) -> Outcome:
    """Train the delays alone, with taps that narrow over the first half of the updates.

    Args:
      key: random key. lags: [K], classes. constant: a fixed sigma instead.
    """
    first, test, train = jax.random.split(key, 3)
    start = jax.random.uniform(first, (2, len(lags)), minval=0, maxval=MAX_DELAY)
    rule = optax.adam(optax.cosine_decay_schedule(0.1, UPDATES))

    def loss(delay: Array, x: Array, label: Array, sigma: Array) -> Array:
        current = delayed_dense(x, jnp.full_like(delay, WEIGHT), delay, sigma, MAX_DELAY)
        logits = 3 * count_spikes(current)
        return optax.softmax_cross_entropy_with_integer_labels(logits, label).mean()

    def update(carry: tuple[Array, optax.OptState], step: Array):
        delay, state = carry
        narrowing = sigma_schedule(step, UPDATES, 12.0, fraction=0.5)
        sigma = narrowing if constant is None else jnp.asarray(constant)
        grads = jax.grad(loss)(delay, *sample(jax.random.fold_in(train, step), lags, BATCH), sigma)
        updates, state = rule.update(grads, state)
        return (clamp_delay(delay + jnp.asarray(updates), MAX_DELAY), state), None

    (delay, _), _ = jax.lax.scan(update, (start, rule.init(start)), jnp.arange(UPDATES))
    x, label = sample(test, lags, 512)
    return Outcome(delay, start, accuracy(delay, x, label), accuracy(start, x, label))


def learn_all(seeds: int, lags: Sequence[int], *, constant: float | None = None) -> Outcome:
    """Train all seeds at once."""
    keys = jax.random.split(jax.random.key(0), seeds)
    run = partial(learn, lags=jnp.array(lags), constant=constant)
    return jax.jit(jax.vmap(run))(keys)


def draw(learned: Outcome, lags: Sequence[int]) -> Figure:
    """Two spikes of each class on their way to its neuron, with the first and the last delays."""
    steps, first = np.arange(T)[:, None], 20
    return aligned_raster(
        [
            Arrivals(
                f"lag {lag:+d}",
                steps == (first, first + lag),
                learned.start[:, k],
                learned.delay[:, k],
            )
            for k, lag in enumerate(lags)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn delays alone.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--constant", type=float, help="a fixed sigma, such as 0.23 or 12")
    parser.add_argument("--picture", action="store_true", help="draw what a seed learns instead")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the picture")
    options = parser.parse_args()
    if options.picture:
        learned = learn_all(1, LAGS["four"], constant=options.constant)
        one = jax.tree.map(lambda column: np.asarray(column[0]), learned)
        print(f"accuracy {one.accuracy:.3f} (before {one.before:.3f})")
        print(save_figure(draw(one, LAGS["four"]), options.results / "coincidence.png"))
        return
    for name, lags in LAGS.items():
        out = jax.tree.map(np.asarray, learn_all(options.seeds, lags, constant=options.constant))
        solved = out.accuracy >= 0.99
        print(
            f"{name} lags {lags}: accuracy {out.accuracy.mean():.3f} "
            f"(before {out.before.mean():.3f}), solved {solved.sum()} of {options.seeds}"
        )


if __name__ == "__main__":
    main()
