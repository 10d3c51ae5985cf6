"""Record what SpikingJelly 2.0.0 computes, for tests/neurons/parallel/test_recorded.py.

In an environment of its own:  pip install torch numpy spikingjelly==2.0.0, then
python tests/reference/record_psn.py  writes psn.npz beside this file.

Each case has its weight and bias, the outputs, and the gradients of sum(upstream * outputs) with
respect to input, weight and bias; the surrogate is the arctangent with slope 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N, WINDOW = 10, 6, 4
STRENGTHS = {"masked_half": 0.5, "masked_full": 1.0}


def main() -> None:
    import torch
    from spikingjelly.activation_based import neuron, surrogate

    generator = np.random.default_rng(0)
    x = generator.normal(0.5, 1.5, (T, N)).astype(np.float32)
    upstream = generator.normal(size=(T, N)).astype(np.float32)
    arrays = {"x": x, "upstream": upstream}
    atan = surrogate.ATan(alpha=2.0)
    cases = {"psn": neuron.PSN(T, atan)}
    for name, strength in STRENGTHS.items():
        cases[name] = neuron.MaskedPSN(WINDOW, T, strength, atan, step_mode="m")
    cases["sliding"] = neuron.SlidingPSN(WINDOW, True, atan, step_mode="m")
    for name, node in cases.items():
        for parameter in (node.weight, node.bias):
            values = parameter.detach().numpy() + generator.normal(0.0, 0.3, parameter.shape)
            parameter.data.copy_(torch.tensor(values.astype(np.float32)))
        given = torch.tensor(x, requires_grad=True)
        out = node(given)
        (out * torch.tensor(upstream)).sum().backward()
        arrays[f"{name}/weight"] = node.weight.detach().numpy()
        arrays[f"{name}/bias"] = node.bias.detach().numpy().squeeze()
        arrays[f"{name}/out"] = out.detach().numpy()
        arrays[f"{name}/dx"] = given.grad.numpy()
        arrays[f"{name}/dweight"] = node.weight.grad.numpy()
        arrays[f"{name}/dbias"] = node.bias.grad.numpy().squeeze()
    np.savez_compressed(Path(__file__).with_name("psn.npz"), **arrays)


if __name__ == "__main__":
    main()
