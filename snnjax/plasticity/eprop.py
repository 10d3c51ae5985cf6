"""e-prop: eligibility traces of any elementwise neuron, feed-forward or recurrent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike, DTypeLike

from snnjax.neurons.membrane import FACTOR, as_param
from snnjax.plasticity.trace import as_spikes

Neuron = Callable[[Any, Array], tuple[Any, Array]]


class EPropParams(NamedTuple):
    """Weights of a layer, and the decay of the readout after it."""

    weight: Array  # [M, N]
    recurrent: Array | None = None  # [N, N], from the spikes of the last step
    readout_decay: ArrayLike = 0.0  # [] or [N]: kappa, decay of a leaky readout; 0 for none


class EPropState(NamedTuple):
    """State of a layer trained by e-prop."""

    neuron: Any  # state of the neurons, arrays [..., N]
    spikes: Array  # [..., N], spikes of the last step
    filtered: Array  # [..., N], the same spikes filtered by the readout's decay
    eligibility: Any  # of (neuron, filtered): arrays [M, ..., N], or [M + N, ..., N] if recurrent


def eprop_init(
    neuron: Any,
    shape: tuple[int, ...],
    inputs: int,
    dtype: DTypeLike = jnp.float32,
    *,
    recurrent: bool = False,
) -> EPropState:
    """The initial state of a layer: neurons in the state `neuron`, no spikes so far.

    Args:
      neuron: state of the neurons, for instance `lif_init(shape)`.
      shape: shape of one step of spikes, [..., N]. inputs: M.
      dtype: dtype of the input spikes.
      recurrent: whether the layer has recurrent weights.

    Raises:
      ValueError: a state with arrays not of `shape`: then the neurons are not independent.
      TypeError: a state without floating arrays. Counters are integers and have no derivative.

    >>> from snnjax.neurons import lif_init
    >>> eprop_init(lif_init((8, 4)), (8, 4), 3).eligibility[0].v.shape
    (3, 8, 4)
    """
    for leaf in jax.tree.leaves(neuron):
        if leaf.shape != tuple(shape):
            raise ValueError(
                f"e-prop needs independent, elementwise neurons: a state of shape {tuple(shape)} "
                f"throughout; got an array of shape {leaf.shape}."
            )
    membranes = [leaf.dtype for leaf in jax.tree.leaves(neuron) if _floating(leaf)]
    if not membranes:
        raise TypeError("the neurons' state must hold floating-point arrays; got none.")
    rows = inputs + (shape[-1] if recurrent else 0)
    filtered = jnp.zeros(shape, jnp.result_type(*membranes))
    traces = jax.tree.map(
        lambda x: jnp.zeros((rows, *x.shape), x.dtype if _floating(x) else filtered.dtype),
        (neuron, filtered),
    )
    return EPropState(neuron, jnp.zeros(shape, dtype), filtered, traces)


def eprop_step(
    neuron: Neuron, params: EPropParams, state: EPropState, spikes: ArrayLike
) -> tuple[EPropState, Array]:
    """One step of a layer with eligibility traces: e-prop.

    With h_j the state of neuron j, I_j = sum_i W_ij s_i its current and z_j its spike:

        eps_ij' = dh_j'/dh_j eps_ij + dh_j'/dI_j s_i          (eligibility vector)
        E_ij    = dz_j/dh_j  eps_ij + dz_j/dI_j  s_i          (eligibility trace)
        dW_ij   = L_j E_ij,    L_j = dloss/dz_j of this step, through the layers above

    `filtered` is kappa * filtered + z, and its derivative kappa * Ebar + E: a leaky readout is
    `state.filtered @ readout`, with exact credit for earlier spikes. The product L E is the
    result of reverse or forward mode for a loss of this step; earlier states pass no gradient.
    `snnjax.unroll.online_gradient` sums over time, with the memory of one step: [M, ..., N].

    The derivatives are those of the neuron as given. For the published equations detach its reset:
    LIF with `detach(subtract)` has eps' = decay * eps + s, and adaptive thresholds
    (A' = rho A + z, threshold theta + beta A, psi the surrogate's derivative)

        E = psi (eps_v' - beta eps_a),    eps_a' = psi eps_v' + (rho - psi beta) eps_a.

    Without `detach` the reset's derivative is included in the traces. Then the gradient of a single
    layer equals backpropagation through time exactly, for any neuron; paths through the spikes of
    other neurons, in a recurrent layer or in earlier layers, are left out. For LIF, `ottt_step`
    needs one trace per input instead of one per weight. Parameters of the neuron get only the
    derivative of this step.

    Args:
      neuron: step of the neurons, for instance `partial(lif_step, lif_params, reset=...)`, which
        must be elementwise.
      params: weights [M, N], recurrent [N, N] or None, and kappa.
      state: as made by `eprop_init`.
      spikes: spikes of the previous layer, floating, [..., M].

    Returns:
      The next state, and spikes [..., N].

    Raises:
      TypeError: spikes not floating. ValueError: shapes or the use of `recurrent` do not fit.

    Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking neurons",
    Nature Communications 2020.

    >>> from functools import partial
    >>> from snnjax.neurons import LIFParams, lif_init, lif_step, none
    >>> neuron = partial(lif_step, LIFParams(0.5, 10.0), reset=none)
    >>> params, state = EPropParams(jnp.ones((1, 1))), eprop_init(lif_init((1,)), (1,), 1)
    >>> for s in (1.0, 1.0):
    ...     state, z = eprop_step(neuron, params, state, jnp.array([s]))
    >>> state.eligibility[0].v.tolist()
    [[1.5]]
    """
    state = lax.stop_gradient(state)
    params = jax.tree.map(jnp.asarray, params, is_leaf=lambda leaf: isinstance(leaf, list))
    weight, inputs = _stacked(params, state, spikes)
    kappa = as_param(params.readout_decay, state.filtered, "readout_decay", FACTOR)

    def local(cell: Any, current: Array) -> tuple[Any, Array]:
        inner, z = neuron(cell[0], current)
        return (inner, kappa * cell[1] + z.astype(kappa.dtype)), z

    cell, current = (state.neuron, state.filtered), inputs @ weight
    tangents = _advance(local, cell, current, inputs, state.eligibility)
    traced = jax.tree.map(
        lambda value, eps: _attach(value, weight, eps) if _floating(value) else value,
        cell,
        state.eligibility,
    )
    (inner, filtered), z = local(traced, current)
    return EPropState(inner, z, filtered, tangents), z


def _floating(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.floating)


@jax.custom_jvp
def _attach(value: Array, weight: Array, eps: Array) -> Array:
    """`value`, with the derivative eps[m, ..., n] in weight[m, n]."""
    del weight, eps
    return value


@_attach.defjvp
def _attach_jvp(primals, tangents):
    value, _, eps = primals
    dvalue, dweight, _ = tangents
    return value, dvalue + jnp.einsum("m...n,mn->...n", eps, dweight.astype(eps.dtype))


def _advance(local: Neuron, cell: Any, current: Array, inputs: Array, eps: Any) -> Any:
    """The eligibility vectors after this step; constant under differentiation."""
    current, inputs = lax.stop_gradient((current, inputs))
    spikes = jnp.moveaxis(inputs, -1, 0)[..., None].astype(current.dtype)
    spikes = jnp.broadcast_to(spikes, (spikes.shape[0], *current.shape))

    def along(eps: Any, spikes: Array) -> Any:
        moves = jax.tree.map(
            lambda x, e: e if _floating(x) else np.zeros(x.shape, jax.dtypes.float0), cell, eps
        )
        after = jax.jvp(local, (cell, current), (moves, spikes))[1][0]
        return jax.tree.map(lambda x, e, d: d if _floating(x) else e, cell, eps, after)

    return lax.stop_gradient(jax.vmap(along)(eps, spikes))


def _stacked(params: EPropParams, state: EPropState, spikes: ArrayLike) -> tuple[Array, Array]:
    """Weights [M (+ N), N] and inputs [..., M (+ N)], the last spikes after the new ones."""
    rows = jax.tree.leaves(state.eligibility)[0].shape[0]
    blocks = [params.weight] if params.recurrent is None else [params.weight, params.recurrent]
    given = sum(block.shape[0] for block in blocks)
    if rows != given:
        raise ValueError(
            f"the state has eligibilities for {rows} inputs, but the weights have {given} (with "
            "recurrent ones). Make it with eprop_init(..., inputs, recurrent=True or False)."
        )
    spikes = as_spikes("spikes", spikes, (*state.spikes.shape[:-1], params.weight.shape[0]))
    if params.recurrent is None:
        return params.weight, spikes
    last = state.spikes.astype(spikes.dtype)
    return jnp.concatenate(blocks), jnp.concatenate([spikes, last], axis=-1)
