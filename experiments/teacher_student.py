"""Can the delays of a layer be recovered from its outputs?

    python -m experiments.teacher_student                             10 seeds, taps that narrow
    python -m experiments.teacher_student --constant 0.23             narrow from the start
    python -m experiments.teacher_student --taps 2 --repulsion 0.1    two delays per synapse

A frozen teacher, `DelayedLinear`, has random weights and random integer delays of up to 24 steps. A
student of the same shape has its weights and learns only delays, from the mean squared
difference of their outputs on random spikes. Prints the mean of |d - d_teacher| in steps, the share
of delays that are exact after rounding, the share of taps that rounding moves onto another tap of
the synapse, and the error of the rounded student as a share of the variance of the output. For 10
seeds (initially 8.1 steps and 2 %):

                                  |d - d_teacher|   exact   collisions   error
    taps that narrow                    0.26        0.972     none       0.0005
    narrow from the start               7.83        0.147     none       1.6     --constant 0.23
    wide to the end                     4.06        0.075     none       1.7     --constant 12
    two taps                            2.96        0.658     0.178      0.14    --taps 2
    two taps that repel each other      3.00        0.656     0.019      0.14    --repulsion 0.1

Two taps of a synapse may settle at each other's delays, or both at one. `tap_repulsion` separates
the latter, here from the middle of the updates on: while taps are wide it would keep them from
passing each other (from the start: 0.51 exact, error 0.42).
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array
from jax.typing import ArrayLike

from snnjax.delays import count_collisions, round_delay, sigma_schedule
from snnjax.losses import tap_repulsion
from snnjax.nn import DelayedLinear, clamp_delays, set_sigma

MAX_DELAY, STEPS, BATCH, RATE, UPDATES = 24, 64, 16, 0.1, 600


class Outcome(NamedTuple):
    """The result of one seed.

    Attributes:
      error: mean |d - d_teacher| in steps. before: the same for the initial delays.
      exact: share of the delays that equal the teacher's after rounding.
      residual: mean squared error with rounded delays, as a share of the variance.
      collisions: share of the taps that coincide with another of their synapse.
    """

    error: Array
    before: Array
    exact: Array
    residual: Array
    collisions: Array


def pair(key: Array, shape: tuple[int, int], taps: int) -> tuple[DelayedLinear, DelayedLinear]:
    """A teacher with integer delays, and a student with the same weights and its own delays."""
    teacher, student = (
        DelayedLinear(*shape, MAX_DELAY, kernel_count=taps, rngs=nnx.Rngs(own))
        for own in jax.random.split(key)
    )
    teacher.delays.delay[...] = round_delay(teacher.delays.delay[...], MAX_DELAY)
    student.weight[...] = teacher.weight[...]
    return teacher, student


def spikes(key: Array, inputs: int) -> Array:
    """Random input spikes, [T, B, I]."""
    return jax.random.bernoulli(key, RATE, (STEPS, BATCH, inputs)).astype(jnp.float32)


def learn(
    key: Array,
    *,
    shape: tuple[int, int] = (8, 4),
    taps: int = 1,
    constant: float | None = None,
    repulsion: ArrayLike = 0.0,
) -> Outcome:
    """Train the student's delays alone.

    Args:
      key: seed. shape: inputs and outputs. taps: delays of a synapse.
      constant: a fixed sigma; by default taps narrow over the first half of the updates.
      repulsion: weight of `tap_repulsion` in the second half of the updates, with a distance of 2,
        for several taps.
    """
    draw, train = jax.random.split(key)
    teacher, student = pair(draw, shape, taps)
    wanted = teacher.delays.delay[...]
    graph, first, rest = nnx.split(student, nnx.PathContains("delay"), ...)
    first, rest = nnx.as_pure((first, rest))
    rule = optax.adam(optax.cosine_decay_schedule(0.2, UPDATES))

    def update(carry, step):
        delays, moments = carry
        x = spikes(jax.random.fold_in(train, step), shape[0])
        narrowing = sigma_schedule(step, UPDATES, MAX_DELAY // 2, fraction=0.5)

        def loss(delays):
            net = nnx.merge(graph, delays, rest)
            set_sigma(net, narrowing if constant is None else constant)
            target = teacher(None, x, round_delays=True)[1]
            error = jnp.square(net(None, x)[1] - target).mean()
            if taps > 1:
                now = jnp.where(2 * step < UPDATES, 0, repulsion)
                error += now * tap_repulsion(net.delays.delay[...], distance=2.0)
            return error

        updates, moments = rule.update(jax.grad(loss)(delays), moments)
        net = nnx.merge(graph, optax.apply_updates(delays, updates), rest)
        clamp_delays(net)
        return (nnx.as_pure(nnx.state(net, nnx.PathContains("delay"))), moments), None

    (last, _), _ = jax.lax.scan(update, (first, rule.init(first)), jnp.arange(UPDATES))
    student, before = (nnx.merge(graph, delays, rest) for delays in (last, first))
    found, drawn = student.delays.delay[...], before.delays.delay[...]
    x = spikes(jax.random.fold_in(train, UPDATES), shape[0])
    answer, target = (net(None, x, round_delays=True)[1] for net in (student, teacher))
    return Outcome(
        jnp.abs(found - wanted).mean(),
        jnp.abs(drawn - wanted).mean(),
        (round_delay(found, MAX_DELAY) == wanted).mean(),
        jnp.square(answer - target).mean() / target.var(),
        count_collisions(found, MAX_DELAY) / found.size,
    )


def learn_all(seeds: int, **options: Any) -> Outcome:
    """Train all seeds at once; `options` as for `learn`."""
    keys = jax.random.split(jax.random.key(0), seeds)
    return jax.jit(jax.vmap(partial(learn, **options)))(keys)


def main() -> None:
    parser = argparse.ArgumentParser(description="Find the delays of a teacher.")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--taps", type=int, default=1, help="delays of a synapse")
    parser.add_argument("--constant", type=float, help="a fixed sigma, such as 0.23 or 12")
    parser.add_argument("--repulsion", type=float, default=0.0, help="weight of tap_repulsion")
    options = parser.parse_args()
    if options.repulsion and options.taps < 2:
        parser.error("--repulsion is between the taps of a synapse: give --taps 2 or more")
    out = jax.tree.map(np.asarray, learn_all(**vars(options)))
    print(
        f"|d - d_teacher| {out.error.mean():.2f} (before {out.before.mean():.2f}), "
        f"exact {out.exact.mean():.3f}, collisions {out.collisions.mean():.3f}, "
        f"error of the output {out.residual.mean():.4f}"
    )


if __name__ == "__main__":
    main()
