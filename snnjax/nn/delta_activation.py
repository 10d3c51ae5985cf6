"""A layer that quantises activations so that few values change between frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from snnjax import neurons as n
from snnjax.nn.neurons.domain import POSITIVE
from snnjax.nn.neurons.population import Population
from snnjax.surrogates import Spike, atan


class DeltaActivation(Population):
    """Quantises the activations of frames; only their changes are transmitted.

    Returns q of every frame. `record=("k",)` gives the levels over time, for the penalty
    `snnjax.losses.delta_penalty` and for `snnjax.metrics.temporal_sparsity`. Without a threshold
    all frames are rounded at once, without a scan; with one it is `delta_send_step` through time.
    The state goes on from clip to clip as that of neurons does; a new clip begins with
    `init_state`. `stream` gives the same product frame by frame.

    Args:
      features: N.
      delta: Δ, the step, in the unit of the input, above 0; see `snnjax.neurons.delta_step_size`.
      threshold: θ of `delta_send_step`, likewise, at least Δ/2; None for the plain quantiser.
      bits, signed: levels of the plain quantiser; see `snnjax.neurons.delta_quantise`.
      per_channel: whether each feature has a step (and threshold) of its own, or all share one.
      trainable: which of ("delta", "threshold") are trained.
      spike: surrogate spike function of `delta_send_step`.
      checkpoint: see `snnjax.unroll.unroll`; of use with a threshold.

    >>> layer = DeltaActivation(3, delta=0.5, bits=4)
    >>> state, (q, seen) = layer(layer.init_state((2,)), 0.8 * jnp.ones((5, 2, 3)), record=("k",))
    >>> q.shape, float(q[0, 0, 0]), float(seen["k"][0, 0, 0])
    ((5, 2, 3), 1.0, 2.0)
    """

    rest, spiking = n.delta_activation_init, False

    def __init__(
        self,
        features: int,
        *,
        delta: ArrayLike = 0.1,
        threshold: ArrayLike | None = None,
        bits: int = 8,
        signed: bool = False,
        per_channel: bool = False,
        trainable: Sequence[str] = ("delta",),
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, trainable=trainable, checkpoint=checkpoint)
        shape = (features,) if per_channel else ()
        self.constant("delta", delta, POSITIVE, shape)
        if threshold is not None:
            self.constant("threshold", threshold, POSITIVE, shape)
            if np.any(np.asarray(threshold) < 0.5 * np.asarray(delta)):
                raise ValueError(
                    f"DeltaActivation: `threshold` must be at least delta / 2, below which a "
                    f"change rounds to nothing; got {threshold} with delta={delta}."
                )
        self.check_trainable()
        n.quantiser_bounds(bits, signed)  # refuses bad numbers now
        self.bits, self.signed, self.per_channel = bits, signed, per_channel
        self.sends, self.spike = threshold is not None, self.choice(spike)

    def quantiser(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The options of `delta_quantise` for frames of `shape` [B, ..., N]."""
        count = math.prod(shape[1:-1]) * (1 if self.per_channel else self.features)
        return {"bits": self.bits, "signed": self.signed, "count": count}

    def step(self, shape: tuple[int, ...] = ()) -> Callable[..., Any]:
        """One frame with the current constants; `shape` [B, ..., N] is that of a frame."""
        if self.sends:
            params = n.DeltaSendParams(self.value("delta"), self.value("threshold"))
            return partial(n.delta_send_step, params, spike=self.spike)
        params = n.DeltaActivationParams(self.value("delta"))
        return partial(n.delta_activation_step, params, **self.quantiser(shape))

    def __call__(
        self, state: Any, current: ArrayLike | None = None, *, record: Sequence[str] = ()
    ) -> tuple[Any, Any]:
        """`current` is [T, B, ..., N]; returns the last state and q of every frame."""
        if self.sends or current is None:
            return super().__call__(state, current, record=record)
        current = self.check_input(state, current)
        if tuple(record) not in ((), ("k",)):
            raise ValueError(f'`record` must be () or ("k",); got {record!r}.')
        state = self.rest_for(current) if state is None else state
        frames = type(state)(jnp.broadcast_to(state.k, current.shape))
        levels, q = self.step(current.shape[1:])(frames, current)
        last = jax.tree.map(lambda k: k[-1], levels)
        return last, ((q, levels._asdict()) if record else q)

    def stream(self, linear: Callable[..., Any]) -> Callable[..., Any]:
        """`step(state, frame) -> (state, linear(q))` that multiplies only what changed.

        The state is that of `snnjax.neurons.delta_product_init(shape, linear)`.

        Raises:
          ValueError: the layer has a threshold; its levels depend on what it has sent.
        """
        if self.sends:
            raise ValueError(
                "`stream` is for the plain quantiser. With a threshold, run the layer frame by "
                "frame and give the changes of its levels to snnjax.neurons.sigma_step."
            )
        params = n.DeltaActivationParams(self.value("delta"))
        options = {"linear": linear, "bits": self.bits, "signed": self.signed}
        return partial(n.delta_product_step, params, **options)
