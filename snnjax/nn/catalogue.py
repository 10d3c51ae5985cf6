"""Layers of the other neurons: which constants each has, where they lie, and where they start.

All take `Layer(features, *, learn=(), checkpoint=True, **given)`, where `given` are constants by
the names below, each a number or [N], and options of the neuron's step, such as `spike=` and
`reset=`. What a constant means is in the docstring of the step. Decays are those of one step:
`decay=exact(20.0)`.

>>> from snnjax.neurons import exact
>>> from snnjax.surrogates import sigmoid
>>> layer = ALIF(4, decay=exact(30.0), learn=("decay", "beta"), spike=sigmoid)
>>> state, z = layer(layer.init_state((2,)), jnp.ones((7, 2, 4)))
>>> z.shape, state._fields
((7, 2, 4), ('v', 'a'))
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from snnjax import neurons as n
from snnjax.neurons.membrane import concrete
from snnjax.nn.population import (
    POSITIVE,
    REAL,
    UNIT,
    Domain,
    Population,
    check_dt,
    check_shape,
    euler_frequency,
    euler_time_constant,
    named,
    nearest,
)
from snnjax.surrogates import Spike, atan


class Constant(NamedTuple):
    """Where a constant of a layer starts, and where it lies."""

    default: float
    domain: Domain


def _constants(**given: Constant) -> Mapping[str, Constant]:
    return MappingProxyType(given)


class Catalogued(Population):
    """A layer that is said by a neuron's four names and its constants.

    A subclass gives `rest`, `advance` (the step), `params` (their type) and `constants`; and where
    it has them, `below`, `euler`, `turns` and `coarse`.
    """

    advance: ClassVar[Callable[..., Any]]
    params: ClassVar[Callable[..., Any]]
    constants: ClassVar[Mapping[str, Constant]]

    below: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of constants of which the first lies below the second, also while they learn."""

    euler: ClassVar[tuple[str, ...]] = ()
    """Time constants of forward Euler: above half a step while they learn, at best above a step."""

    turns: ClassVar[tuple[str, ...]] = ()
    """Angular frequencies of Euler rotations, of less than one radian a step."""

    coarse: ClassVar[float] = math.inf
    """Largest step, in the unit of `dt`, with which the equations still hold."""

    def __init__(
        self,
        features: int,
        *,
        learn: Sequence[str] = (),
        checkpoint: bool | int = True,
        **given: Any,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        known = {name: given.pop(name, default) for name, (default, _) in self.constants.items()}
        signature = inspect.signature(type(self).advance).parameters.values()
        options = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY}
        for name, value in given.items():
            if name not in options:
                hint = nearest(name, [*self.constants, *options])
                raise TypeError(f"{type(self).__name__} has no argument {name!r}; {hint}")
            setattr(self, f"option_{name}", self.choice(value) if callable(value) else value)
        self.options = tuple(given)
        dt = given.get("dt", options.get("dt"))
        if dt is not None:
            check_dt(type(self).__name__, dt)
        self._check_order(known)
        for name in self.constants:
            domain = self._domain(name, dt)
            limit = known.get(domain.above or domain.under, 0.0)
            self.constant(name, known[name], domain, limit=limit)
        self.check_learned()
        if dt is not None:
            self._warn_of_dt(dt, known)

    def _domain(self, name: str, dt: ArrayLike | None) -> Domain:
        """Where a constant lies, with what a step of `dt` and the other constants allow."""
        domain = self.constants[name].domain
        for low, high in self.below:  # where both learn, the low one moves with the high one
            if name == low:
                domain = domain._replace(under=high)
            elif name == high and low not in self.learn:
                domain = domain._replace(above=low)
        if name not in self.turns and (name not in self.euler or name not in self.learn):
            return domain
        if dt is None or concrete(dt) is None:
            if name not in self.learn:
                return domain
            raise ValueError(
                f"{type(self).__name__}: `dt` must be concrete for {name!r} to be learned, since "
                "it limits it. Make the layer outside of jit, or give dt as a number."
            )
        return euler_frequency(dt) if name in self.turns else euler_time_constant(dt)

    def _check_order(self, known: Mapping[str, ArrayLike]) -> None:
        """Refuse constants in the wrong order, such as a reset at the threshold."""
        for low, high in self.below:
            for name in (low, high):
                shape = np.shape(known[name])
                check_shape(name, shape, (self.features,), f"{type(self).__name__}: ")
            if np.any(np.asarray(known[low]) >= np.asarray(known[high])):
                raise ValueError(
                    f"{type(self).__name__}: `{low}` must lie below `{high}`; got {low}="
                    f"{known[low]} with {high}={known[high]}. Lower `{low}` or raise `{high}`."
                )

    def _warn_of_dt(self, dt: ArrayLike, known: Mapping[str, ArrayLike]) -> None:
        """Warn of a step that is too long; a traced one passes."""
        length, layer = concrete(dt), type(self).__name__
        if length is None:
            return
        limits = {f"{name}={known[name]}": np.asarray(known[name]) for name in self.euler}
        if math.isfinite(self.coarse):
            limits[f"the largest step that holds, {self.coarse:g}"] = np.asarray(self.coarse)
        for words, limit in limits.items():
            if np.any(length > limit):
                warnings.warn(
                    f"{layer}: dt={dt} exceeds {words}: a forward-Euler step overshoots. "
                    "Use a smaller dt.",
                    UserWarning,
                    stacklevel=3,
                )

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        params = type(self).params(**{name: self.value(name) for name in self.constants})
        options = {name: getattr(self, f"option_{name}") for name in self.options}
        return partial(type(self).advance, params, **options)


def _decay(tau: float) -> Constant:
    return Constant(math.exp(-1.0 / tau), UNIT)


_ONE = Constant(1.0, POSITIVE)


class CUBA(Catalogued):
    """LIF neurons behind a synaptic current: see `snnjax.neurons.cuba_step`."""

    rest, advance, params = n.cuba_init, n.cuba_step, n.CUBAParams
    constants = _constants(decay_c=_decay(5.0), decay=_decay(10.0), threshold=_ONE)


# Decays of an alpha neuron that learn: its gain is infinite where one is 0, or where they meet.
_RISING = Domain(low=1e-6, high=1.0 - 1e-6)
_FALLING = Domain(low=1e-5, high=1.0 - 1e-6)


class Alpha(Population):
    """LIF neurons whose potential is an alpha function: see `snnjax.neurons.alpha_step`.

    While they learn, the decays keep their order, 1e-6 apart at least.

    Args:
      features: N. decay_exc, decay_inh: of the flanks, decay_inh below decay_exc.
      threshold: above 0.
      learn: which of ("decay_exc", "decay_inh", "threshold") learn; none by default.
      spike, reset: see `snnjax.neurons.alpha_step`. checkpoint: see `snnjax.unroll.unroll`.
    """

    rest = n.alpha_init

    def __init__(
        self,
        features: int,
        *,
        decay_exc: ArrayLike = 0.9,
        decay_inh: ArrayLike = 0.8,
        threshold: ArrayLike = 1.0,
        learn: Sequence[str] = (),
        spike: Spike = atan,
        reset: n.Reset = n.zero,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        named("Alpha", n.alpha_gain, decay_exc, decay_inh)  # refuses bad constants now
        falling = _FALLING if "decay_inh" in self.learn else _FALLING._replace(above="decay_inh")
        falling = falling if "decay_exc" in self.learn else UNIT
        rising = _RISING._replace(under="decay_exc") if "decay_inh" in self.learn else UNIT
        self.constant("decay_exc", decay_exc, falling, limit=decay_inh)
        self.constant("decay_inh", decay_inh, rising, limit=decay_exc)
        self.constant("threshold", threshold, POSITIVE)
        self.check_learned()
        self.spike, self.reset = self.choice(spike), self.choice(reset)

    def step(self) -> Callable[..., Any]:
        """One step with the constants of now."""
        flanks = self.value("decay_exc"), self.value("decay_inh")
        params = n.AlphaParams(*flanks, n.alpha_gain(*flanks), self.value("threshold"))
        return partial(n.alpha_step, params, spike=self.spike, reset=self.reset)


class ALIF(Catalogued):
    """LIF neurons with an adaptive threshold: see `snnjax.neurons.alif_step`."""

    rest, advance, params = n.alif_init, n.alif_step, n.ALIFParams
    constants = _constants(
        decay=_decay(20.0),
        decay_a=_decay(200.0),
        beta=Constant(1.8, REAL),
        threshold=_ONE,
    )


class AdLIF(Catalogued):
    """LIF neurons with an adaptation current: see `snnjax.neurons.adlif_step`."""

    rest, advance, params = n.adlif_init, n.adlif_step, n.AdLIFParams
    constants = _constants(
        decay=_decay(20.0),
        decay_w=_decay(100.0),
        a=Constant(0.5, REAL),
        b=Constant(1.0, REAL),
        threshold=_ONE,
    )


class KLIF(Catalogued):
    """LIF neurons whose membrane gain k learns by default: see `snnjax.neurons.klif_step`."""

    rest, advance, params = n.klif_init, n.klif_step, n.KLIFParams
    constants = _constants(decay=Constant(0.5, UNIT), k=_ONE, threshold=_ONE)

    def __init__(self, features: int, *, learn: Sequence[str] = ("k",), **given: Any):
        super().__init__(features, learn=learn, **given)


class CLIF(Catalogued):
    """LIF neurons with a complementary potential: see `snnjax.neurons.clif_step`."""

    rest, advance, params = n.clif_init, n.clif_step, n.CLIFParams
    constants = _constants(decay=Constant(0.5, UNIT), threshold=_ONE)


class GLIF(Catalogued):
    """Gated LIF neurons, whose gates learn by default: see `snnjax.neurons.glif_step`.

    The paper learns all eight constants: `learn=tuple(GLIF.constants)`. The linear leak starts at
    threshold / (2 T) for its T = 4.
    """

    rest, advance, params = n.glif_init, n.glif_step, n.GLIFParams
    constants = _constants(
        alpha=Constant(0.5, UNIT),
        beta=Constant(0.5, UNIT),
        gamma=Constant(0.5, UNIT),
        decay=Constant(0.25, UNIT),
        leak=Constant(0.0625, UNIT),
        conduct=Constant(0.5, UNIT),
        threshold=Constant(0.5, POSITIVE),
        drop=Constant(0.5, POSITIVE),
    )

    def __init__(
        self, features: int, *, learn: Sequence[str] = ("alpha", "beta", "gamma"), **given: Any
    ):
        super().__init__(features, learn=learn, **given)


class LIAF(Catalogued):
    """LIF neurons with analog output: see `snnjax.neurons.liaf_step`."""

    rest, advance, params = n.liaf_init, n.liaf_step, n.LIAFParams
    spiking = False
    constants = _constants(decay=Constant(0.5, UNIT), threshold=_ONE)


class Ternary(Catalogued):
    """LIF neurons that emit -1, 0 or 1: see `snnjax.neurons.ternary_step`."""

    rest, advance, params = n.ternary_init, n.ternary_step, n.TernaryParams
    constants = _constants(decay=_decay(20.0), threshold=_ONE)


class RAF(Catalogued):
    """Resonate-and-fire neurons: see `snnjax.neurons.raf_step`."""

    rest, advance, params = n.raf_init, n.raf_step, n.RAFParams
    constants = _constants(b=Constant(-0.2, REAL), w=Constant(1.0, REAL), threshold=_ONE)


class RF(Catalogued):
    """Euler resonate-and-fire neurons, never reset: see `snnjax.neurons.rf_step`.

    They diverge for b above `snnjax.neurons.brf_boundary(w, dt)`, below which `BRF` stays.
    """

    rest, advance, params = n.rf_init, n.rf_step, n.RFParams
    constants = _constants(b=Constant(-1.0, REAL), w=Constant(10.0, REAL), threshold=_ONE)


class HRF(Catalogued):
    """Harmonic resonate-and-fire neurons: see `snnjax.neurons.hrf_step`.

    Frequencies that learn keep dt * abs(w) below 1.
    """

    rest, advance, params = n.hrf_init, n.hrf_step, n.HRFParams
    constants = _constants(b0=Constant(1.0, REAL), w=Constant(10.0, REAL), threshold=_ONE)
    turns = ("w",)


class BRF(Catalogued):
    """Balanced resonate-and-fire neurons: see `snnjax.neurons.brf_step`.

    Frequencies that learn keep dt * abs(w) below 1.
    """

    rest, advance, params = n.brf_init, n.brf_step, n.BRFParams
    constants = _constants(b0=Constant(1.0, REAL), w=Constant(10.0, REAL), threshold=_ONE)
    turns = ("w",)


class TCLIF(Catalogued):
    """Two-compartment LIF neurons: see `snnjax.neurons.tclif_step`."""

    rest, advance, params = n.tclif_init, n.tclif_step, n.TCLIFParams
    constants = _constants(
        c1=Constant(0.0, REAL),
        c2=Constant(0.0, REAL),
        gamma=Constant(0.5, REAL),
        threshold=_ONE,
    )


class Delta(Catalogued):
    """Senders of what changed: see `snnjax.neurons.delta_step`."""

    rest, advance, params = n.delta_init, n.delta_step, n.DeltaParams
    constants = _constants(threshold=Constant(0.1, POSITIVE))


class STBIF(Catalogued):
    """Ternary neurons that settle at a quantised activation: see `snnjax.neurons.stbif_step`."""

    rest, advance, params = n.stbif_init, n.stbif_step, n.STBIFParams
    constants = _constants(scale=_ONE)


class FewSpike(Population):
    """Few-spike neurons, which share their tables: see `snnjax.neurons.few_spike_step`.

    Args:
      features: N. tables: K entries each; None takes `few_spike_relu(8, 4.0)`.
      learn: which of ("threshold", "h", "d") learn. spike: see `few_spike_step`.
    """

    rest = n.few_spike_init

    def __init__(
        self,
        features: int,
        *,
        tables: n.FewSpikeParams | None = None,
        learn: Sequence[str] = (),
        spike: Spike = atan,
        checkpoint: bool | int = True,
    ):
        super().__init__(features, learn=learn, checkpoint=checkpoint)
        tables = n.few_spike_relu(8, 4.0) if tables is None else tables
        for name, table in tables._asdict().items():
            self.constant(name, table, REAL, jnp.shape(tables.threshold))
        self.check_learned()
        self.spike = self.choice(spike)

    def step(self) -> Callable[..., Any]:
        """One step with the tables of now."""
        params = n.FewSpikeParams(*(self.value(name) for name in n.FewSpikeParams._fields))
        return partial(n.few_spike_step, params, spike=self.spike)


class QIF(Catalogued):
    """Quadratic integrate-and-fire neurons: see `snnjax.neurons.qif_step`."""

    rest, advance, params = n.qif_init, n.qif_step, n.QIFParams
    constants = _constants(
        tau=Constant(2.0, POSITIVE),
        v_rest=Constant(0.0, REAL),
        v_c=Constant(0.8, REAL),
        a0=_ONE,
        threshold=_ONE,
        v_reset=Constant(-0.1, REAL),
    )
    below, euler = (("v_reset", "threshold"), ("v_rest", "v_c")), ("tau",)


class EIF(Catalogued):
    """Exponential integrate-and-fire neurons: see `snnjax.neurons.eif_step`.

    They start with a rheobase of v_rh - v_rest - delta = 0.6.
    """

    rest, advance, params = n.eif_init, n.eif_step, n.EIFParams
    constants = _constants(
        tau=Constant(2.0, POSITIVE),
        v_rest=Constant(0.0, REAL),
        delta=Constant(0.2, POSITIVE),
        v_rh=Constant(0.8, REAL),
        threshold=_ONE,
        v_reset=Constant(0.0, REAL),
    )
    below, euler = (("v_reset", "threshold"),), ("tau",)


class AdEx(Catalogued):
    """EIF neurons with an adaptation current: see `snnjax.neurons.adex_step`."""

    rest, advance, params = n.adex_init, n.adex_step, n.AdExParams
    constants = _constants(
        **EIF.constants,
        tau_w=Constant(20.0, POSITIVE),
        a=Constant(0.1, REAL),
        b=Constant(0.1, REAL),
    )
    below, euler = EIF.below, ("tau", "tau_w")


class Izhikevich(Catalogued):
    """Izhikevich's neurons in mV: see `snnjax.neurons.izhikevich_step`.

    Args:
      features: N. preset: where a, b, c, d and the peak start, and at whose rest the neurons do.
      learn, checkpoint, given: as for the others; by default `spike` is atan with slope 0.1 per mV.
    """

    rest, advance, params = n.izhikevich_init, n.izhikevich_step, n.IzhikevichParams
    constants = _constants(
        a=Constant(0.02, POSITIVE),
        b=Constant(0.2, POSITIVE),
        c=Constant(-65.0, REAL),
        d=Constant(8.0, REAL),
        peak=Constant(30.0, REAL),
    )
    below = (("c", "peak"),)
    coarse = 1.0  # ms; the published program's half-steps are of 0.5

    def __init__(
        self,
        features: int,
        *,
        preset: n.IzhikevichParams = n.IZHIKEVICH_PRESETS["RS"],
        **given: Any,
    ):
        given = {**preset._asdict(), "spike": partial(atan, slope=0.1), **given}
        super().__init__(features, **given)
        self.preset = preset

    def init_state(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike = jnp.float32) -> Any:
        """The rest of the preset for input [T, *batch_shape, N]."""
        return n.izhikevich_init(self.shape(batch_shape), dtype, params=self.preset)


class HodgkinHuxley(Catalogued):
    """Hodgkin-Huxley neurons: see `snnjax.neurons.hodgkin_huxley_step`.

    They start at the rest of the squid axon, whatever their constants. By default `spike` is atan
    with slope 0.1 per mV.
    """

    rest, advance = n.hodgkin_huxley_init, n.hodgkin_huxley_step
    params = n.HodgkinHuxleyParams
    constants = _constants(
        c=_ONE,
        g_na=Constant(120.0, POSITIVE),
        g_k=Constant(36.0, POSITIVE),
        g_l=Constant(0.3, POSITIVE),
        e_na=Constant(50.0, REAL),
        e_k=Constant(-77.0, REAL),
        e_l=Constant(-54.4, REAL),
        threshold=Constant(0.0, REAL),
    )
    coarse = 0.05  # ms; 0.02 is where spikes are accurate

    def __init__(self, features: int, **given: Any):
        super().__init__(features, **{"spike": partial(atan, slope=0.1), **given})
