"""Record what spyx 1.0.0 and jaxpike 0.1.4 compute, for tests/neurons/test_recorded_others.py.

In an environment of its own:  pip install spyx==1.0.0 jaxpike==0.1.4, then
python tests/reference/record_jax.py  writes jax.npz next to this file.

Outputs, last states, and the gradient of sum(upstream * outputs) with respect to the input.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N = 24, 6
IZHIKEVICH_T = 60


def main() -> None:
    import jax
    import jaxpike
    import spyx
    from flax import nnx
    from jaxpike.surrogate import ATan

    generator = np.random.default_rng(0)
    arrays = {}

    def record(name, node, state, x, *, state_first=True):
        upstream = generator.normal(size=x.shape).astype(np.float32)

        def step(state, x):
            return node(state, x) if state_first else node(x, state)[::-1]

        def loss(x):
            carry, out = jax.lax.scan(step, state, x)
            return (out * upstream).sum(), (out, carry)

        (_, (out, carry)), dx = jax.jit(jax.value_and_grad(loss, has_aux=True))(x)
        given = {"x": x, "upstream": upstream, "out": out, "dx": dx}
        arrays.update({f"{name}/{key}": np.asarray(value) for key, value in given.items()})
        return carry

    x = generator.normal(0.8, 1.0, (T, N)).astype(np.float32)
    for reset in ("subtract", "zero"):
        name = f"jaxpike.ALIF_{reset}"
        node = jaxpike.ALIF(3.0, 20.0, beta=0.7, threshold=0.5, reset=reset, surrogate=ATan())
        last = record(name, node, node.init_state((N,)), 2 * x)
        arrays.update({f"{name}/v": last.v, f"{name}/a": last.a})
    alif = spyx.nn.ALIF((N,), 0.8, 0.9, 1.1, spyx.axn.superspike(5.0), rngs=nnx.Rngs(0))
    last = record("spyx.ALIF", alif, alif.initial_state(1)[0], x, state_first=False)
    arrays.update({"spyx.ALIF/v": last[:N], "spyx.ALIF/a": last[N:]})
    drive = generator.normal(14.0, 4.0, (IZHIKEVICH_T, N)).astype(np.float32)
    for preset in ("regular_spiking", "chattering"):
        name = f"jaxpike.Izhikevich_{preset}"
        node = jaxpike.Izhikevich.preset(preset, dt=0.5, surrogate=ATan())
        last = record(name, node, node.init_state((N,)), drive)
        arrays.update({f"{name}/v": last.v, f"{name}/u": last.u})
    np.savez_compressed(Path(__file__).with_name("jax.npz"), **arrays)


if __name__ == "__main__":
    main()
