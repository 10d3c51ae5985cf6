"""A training step as a case: sharded over devices along the batch, gradients averaged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from jax.sharding import PartitionSpec as P

from experiments.bench.measure import Case, clocked, our_version, temp_bytes
from snnjax.sharding import parse_mesh
from snnjax.train.mesh import AXIS, replicate

WHAT = "training step"
Loss = Callable[[Any, Any, jax.Array, jax.Array], tuple[jax.Array, Any]]


def training_case(
    loss: Loss,
    optimiser: optax.GradientTransformation,
    problem: tuple[Any, Any, Any, Any],
    shapes: Mapping[str, Any],
    *,
    devices: int,
    library: str = "snnjax",
    ratio_to: str | None = None,
) -> Case:
    """Forward, backward and update of `loss(params, rest, x, label) -> (loss, rest)`.

    Args:
      problem: params, rest, x [T, B, ...], label [B].
      devices: how many share the batch.
    """
    params, rest, x, label = problem
    mesh = parse_mesh(f"data={devices}")

    def update(params: Any, rest: Any, moments: Any, x: jax.Array, label: jax.Array) -> Any:
        found, gradient = jax.value_and_grad(loss, has_aux=True)(params, rest, x, label)
        (value, rest), gradient = jax.lax.pmean((found, gradient), AXIS)
        updates, moments = optimiser.update(gradient, moments, params)
        return optax.apply_updates(params, updates), rest, moments, value

    sharded = jax.shard_map(
        update,
        mesh=mesh,
        in_specs=(P(), P(), P(), P(None, AXIS), P(AXIS)),
        out_specs=P(),
        check_vma=False,
    )
    x = jax.device_put(x, jax.NamedSharding(mesh, P(None, AXIS)))
    label = jax.device_put(label, jax.NamedSharding(mesh, P(AXIS)))
    state = list(replicate((params, rest, optimiser.init(params)), mesh))
    began = time.perf_counter()
    compiled = jax.jit(sharded, donate_argnums=(0, 1, 2)).lower(*state, x, label).compile()
    seconds = time.perf_counter() - began

    def once() -> jax.Array:
        *state[:], value = compiled(*state, x, label)
        return jax.block_until_ready(value)

    facts = {
        "devices": devices,
        "compile_s": round(seconds, 3),
        "temp_bytes": temp_bytes(compiled),
        "first_loss": round(float(once()), 6),
    }
    name = library if devices == 1 else f"{library} ({devices} devices)"
    return Case(name, our_version(), WHAT, clocked(once), shapes, facts, ratio_to)
