"""Record snnTorch, norse and SpikingJelly, for tests/neurons/test_recorded_leaky.py.

In an environment of its own:  pip install torch numpy snntorch==1.0.0 norse==1.0.0
spikingjelly==2.0.0, then  python tests/reference/record_leaky.py  writes leaky.npz next to it.

Each case has outputs, the last potential, and the gradient of sum(upstream * outputs) with respect
to the input. Surrogates are arctangents with slope 2, and norse's "super" with alpha 10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N, DT = 24, 6, 0.001
ALPHA, BETA, THRESHOLD = 0.7, 0.85, 0.9
REST, RESET = 0.15, -0.2
RATES = {"tau_syn_inv": 200.0, "tau_mem_inv": 300.0}


def main() -> None:
    import snntorch
    import torch
    from norse.torch.functional import lif
    from snntorch import surrogate as spikes
    from spikingjelly.activation_based import neuron, surrogate

    generator = np.random.default_rng(0)
    x = generator.normal(0.5, 1.0, (T, N)).astype(np.float32)
    upstream = generator.normal(size=(T, N)).astype(np.float32)
    arrays = {"x": x, "upstream": upstream}

    def record(name, run, scale=1.0):
        given = torch.tensor(scale * x, requires_grad=True)
        out, v = run(given)
        (out * torch.tensor(upstream)).sum().backward()
        arrays[f"{name}/scale"] = np.float32(scale)
        arrays[f"{name}/out"] = out.detach().numpy()
        arrays[f"{name}/v"] = v.detach().numpy()
        arrays[f"{name}/dx"] = given.grad.numpy()

    def snn(node, *start):
        def run(given):
            state, outs = start, []
            for step in given:
                out, *state = node(step, *state)
                outs.append(out)
            return torch.stack(outs), state[-1]

        return run

    zeros = torch.zeros(N)
    shared = {"threshold": THRESHOLD, "spike_grad": spikes.atan(2.0)}
    for reset in ("subtract", "zero"):
        shared["reset_mechanism"] = reset
        record(f"snntorch.Leaky_{reset}", snn(snntorch.Leaky(beta=BETA, **shared), zeros))
        synaptic = snntorch.Synaptic(alpha=ALPHA, beta=BETA, **shared)
        record(f"snntorch.Synaptic_{reset}", snn(synaptic, zeros, zeros))
        lapicque = snntorch.Lapicque(R=2.0, C=1.5, time_step=1.0, **shared)
        record(f"snntorch.Lapicque_{reset}", snn(lapicque, zeros), 2.0)

    rates = {name: torch.tensor(rate) for name, rate in RATES.items()}
    params = lif.LIFParameters(
        **rates,
        v_leak=torch.tensor(REST),
        v_th=torch.tensor(THRESHOLD),
        v_reset=torch.tensor(RESET),
        method="super",
        alpha=torch.tensor(10.0),
    )

    def norse(given):
        state, outs = lif.LIFFeedForwardState(v=torch.full((N,), REST), i=zeros), []
        for step in given:
            z, state = lif.lif_feed_forward_step(step, state, params, DT)
            outs.append(z)
        return torch.stack(outs), state.v

    record("norse.LIF", norse, 2.0)

    atan = {"surrogate_function": surrogate.ATan(alpha=2.0)}
    nodes = {
        "spikingjelly.LIF_rest": neuron.LIFNode(
            tau=3.0, decay_input=False, v_reset=RESET, v_threshold=THRESHOLD, **atan
        ),
        "spikingjelly.QIF": neuron.QIFNode(**atan),
        "spikingjelly.EIF": neuron.EIFNode(delta_T=0.3, theta_rh=0.7, v_reset=-0.1, **atan),
    }
    for name, node in nodes.items():

        def run(given, node=node):
            outs = [node(step) for step in given]
            return torch.stack(outs), node.v

        record(name, run, 1.0 if "LIF_rest" in name else 2.0)
    np.savez_compressed(Path(__file__).with_name("leaky.npz"), **arrays)


if __name__ == "__main__":
    main()
