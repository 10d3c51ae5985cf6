"""Neurons against arrays recorded from SpikingJelly (tests/reference/record_adaptive.py)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from snnjax.neurons import (
    AdaptiveQIFParams,
    CUBAParams,
    GLIFParams,
    KLIFParams,
    LIAFParams,
    adaptive_qif_init,
    adaptive_qif_step,
    cuba_init,
    cuba_step,
    euler,
    glif_init,
    glif_step,
    klif_init,
    klif_step,
    liaf_init,
    liaf_step,
    subtract,
    zero,
)
from snnjax.unroll import unroll

RECORDED = np.load(Path(__file__).parents[1] / "reference" / "adaptive.npz")
NAMES = sorted(name.split("/")[0] for name in RECORDED.files if name.endswith("/out"))
# our fields and the names there, all of them logits
GLIF = {
    **{name: name for name in ("alpha", "beta", "gamma", "conduct")},
    "decay": "tau",
    "leak": "linear_decay",
    "threshold": "v_threshold",
    "drop": "v_subreset",
}


def model(name):
    """Parameters, initial state and step of a case, from its name."""
    reset = zero if "hard" in name else subtract
    if name.startswith("cuba"):
        return CUBAParams(0.5, 0.75, 0.5), cuba_init, partial(cuba_step, reset=reset)
    if name.startswith("klif"):
        flags = {"scale_input": False, "scale_reset": "scaled" in name}
        return KLIFParams(euler(3.0), 1.3, 1.0), klif_init, partial(klif_step, reset=reset, **flags)
    if name.startswith("izhikevich"):
        a, b = (0.5, 0.25) if "adapting" in name else (0.0, 0.0)
        params = AdaptiveQIFParams(2.0, -0.1, 0.8, 1.0, 1.0, v_reset=-0.2, tau_w=3.0, a=a, b=b)
        return params, partial(adaptive_qif_init, v0=params.v_reset), adaptive_qif_step
    return (
        LIAFParams(euler(3.0), 1.0),
        liaf_init,
        partial(liaf_step, threshold_related="related" in name),
    )


def check(name, params, init, step, gains=None):
    x = jnp.asarray(RECORDED["x"])

    @partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def run(params, x):
        xs = x if gains is None else (gains, x)
        state, out = unroll(partial(step, params), init(x.shape[1:]), xs)
        return (out * RECORDED["upstream"]).sum(), (out, state)

    (_, (out, state)), (dparams, dx) = jax.jit(run)(params, x)
    np.testing.assert_allclose(out, RECORDED[f"{name}/out"], atol=1e-5)
    np.testing.assert_allclose(state.v, RECORDED[f"{name}/v"], atol=1e-5)
    if f"{name}/w" in RECORDED:
        np.testing.assert_allclose(state.w, RECORDED[f"{name}/w"], atol=1e-5)
    np.testing.assert_allclose(dx, RECORDED[f"{name}/dx"], rtol=1e-4, atol=1e-5)
    return dparams


def test_all_cases_are_there():
    assert len(NAMES) == 11


@pytest.mark.parametrize("name", [name for name in NAMES if name != "glif"])
def test_equals_the_recorded_run(name):
    dparams = check(name, *model(name))
    if name.startswith("klif"):
        np.testing.assert_allclose(dparams.k, RECORDED[f"{name}/dk"], rtol=1e-4)


def test_glif_equals_the_recorded_run():
    """With another gain for each channel and step."""
    named = {field: f"glif/{name}" for field, name in GLIF.items()}
    params = GLIFParams(**{k: jax.nn.sigmoid(jnp.asarray(RECORDED[n])) for k, n in named.items()})
    gains = jax.nn.sigmoid(jnp.asarray(RECORDED["glif/conduct"]))

    def step(params, state, x):
        return glif_step(params._replace(conduct=x[0]), state, x[1])

    check("glif", params._replace(conduct=0.0), glif_init, step, gains)
