"""Record what SpikingJelly 2.0.0 computes, for tests/neurons/test_recorded.py.

In an environment of its own:  pip install torch numpy spikingjelly==2.0.0, then
python tests/reference/record_spikingjelly.py  writes spikingjelly.npz next to this file.

Each case has outputs, membranes after the reset, and the gradient of sum(upstream * outputs) with
respect to the input (and w for PLIF); surrogates are arctangent with slope 2, or the clip window.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N = 16, 12


def main() -> None:
    import torch
    from spikingjelly.activation_based import functional, neuron, surrogate

    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    x = generator.normal(0.4, 1.0, (T, N)).astype(np.float32)
    upstream = generator.normal(size=(T, N)).astype(np.float32)
    arrays = {"x": x, "upstream": upstream}
    atan = surrogate.ATan(alpha=2.0)
    hard, soft = {"v_reset": 0.0}, {"v_reset": None}
    shared = {"surrogate_function": atan, "step_mode": "m", "store_v_seq": True}
    cases = {"if_soft": neuron.IFNode(**soft, **shared), "if_hard": neuron.IFNode(**hard, **shared)}
    for scaled in (False, True):
        for kind, reset in (("soft", soft), ("hard", hard)):
            for detach in (False, True):
                name = f"lif_{'scaled' if scaled else 'plain'}_{kind}{'_detach' if detach else ''}"
                cases[name] = neuron.LIFNode(
                    tau=3.0, decay_input=scaled, detach_reset=detach, **reset, **shared
                )
        name = f"plif_{'scaled' if scaled else 'plain'}"
        cases[name] = neuron.ParametricLIFNode(init_tau=3.0, decay_input=scaled, **soft, **shared)
    for detach in (False, True):
        cases[f"ilif{'_detach' if detach else ''}"] = neuron.ILIFNode(
            detach_reset=detach, step_mode="m", store_v_seq=True
        )
    for name, node in cases.items():
        functional.reset_net(node)
        scale = 3.0 if "scaled" in name or "ilif" in name else 1.0
        given = torch.tensor(scale * x, requires_grad=True)
        out = node(given)
        (out * torch.tensor(upstream)).sum().backward()
        arrays[f"{name}/scale"] = np.float32(scale)
        arrays[f"{name}/out"] = out.detach().numpy()
        arrays[f"{name}/v"] = node.v_seq.detach().numpy()
        arrays[f"{name}/dx"] = given.grad.numpy()
        if name.startswith("plif"):
            arrays[f"{name}/dw"] = node.w.grad.numpy()
    np.savez_compressed(Path(__file__).with_name("spikingjelly.npz"), **arrays)


if __name__ == "__main__":
    main()
