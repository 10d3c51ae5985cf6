"""Record what SpikingJelly 2.0.0 computes, for tests/neurons/test_recorded_adaptive.py.

In an environment of its own:  pip install torch numpy spikingjelly==2.0.0, then
python tests/reference/record_adaptive.py  writes adaptive.npz next to this file.

Each case has outputs, the last membrane (of Izhikevich the adaptation too), and the gradient of
sum(upstream * outputs) with respect to the input, and to k for KLIF; the surrogate is the
arctangent with slope 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N = 16, 6
GATES = ("alpha", "beta", "gamma", "tau", "linear_decay", "v_threshold", "v_subreset", "conduct")


def main() -> None:
    import torch
    from spikingjelly.activation_based import neuron, surrogate

    generator = np.random.default_rng(0)
    x = generator.normal(0.4, 1.2, (T, N)).astype(np.float32)
    upstream = generator.normal(size=(T, N)).astype(np.float32)
    arrays = {"x": x, "upstream": upstream}
    atan = surrogate.ATan(alpha=2.0)
    resets = {"soft": None, "hard": 0.0}

    def leaky(x):
        return torch.nn.functional.leaky_relu(x, 0.2)

    cases = {}
    for reset, v_reset in resets.items():
        cases[f"cuba_{reset}"] = neuron.CUBALIFNode(v_reset=v_reset, surrogate_function=atan)
        for scale_reset in (False, True):
            node = neuron.KLIFNode(
                scale_reset, tau=3.0, v_reset=v_reset, decay_input=False, surrogate_function=atan
            )
            node.k.data.fill_(1.3)
            cases[f"klif_{reset}{'_scaled' if scale_reset else ''}"] = node
    for related in (False, True):
        cases[f"liaf{'_related' if related else ''}"] = neuron.LIAFNode(
            leaky, related, tau=3.0, v_reset=None, decay_input=False, surrogate_function=atan
        )
    cases["glif"] = neuron.GatedLIFNode(T, inplane=N, surrogate_function=atan)
    for name in GATES:
        parameter = getattr(cases["glif"], name)
        logits = generator.normal(size=parameter.shape).astype(np.float32)
        parameter.data.copy_(torch.tensor(logits))
        arrays[f"glif/{name}"] = logits
    for constants in ((), (0.5, 0.25)):
        name = f"izhikevich{'_adapting' if constants else ''}"
        cases[name] = neuron.IzhikevichNode(
            v_reset=-0.2,
            tau_w=3.0,
            **dict(zip("ab", constants, strict=False)),
            surrogate_function=atan,
        )
    for name, node in cases.items():
        given = torch.tensor(x, requires_grad=True)
        if name == "glif":  # has only the multi-step mode, and images
            out = node(given.reshape(T, 1, N, 1, 1)).reshape(T, N)
        else:  # the multi-step mode of LIAFNode puts out spikes, not the activation
            out = torch.stack([node(step) for step in given])
        (out * torch.tensor(upstream)).sum().backward()
        arrays[f"{name}/out"] = out.detach().numpy()
        arrays[f"{name}/v"] = node.v.detach().numpy().reshape(N)
        arrays[f"{name}/dx"] = given.grad.numpy()
        if name.startswith("izhikevich"):
            arrays[f"{name}/w"] = node.w.detach().numpy()
        if name.startswith("klif"):
            arrays[f"{name}/dk"] = node.k.grad.numpy()
    np.savez_compressed(Path(__file__).with_name("adaptive.npz"), **arrays)


if __name__ == "__main__":
    main()
