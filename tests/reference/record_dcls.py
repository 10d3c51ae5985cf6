"""Record what DCLS 0.1.1 computes, for tests/delays/test_recorded.py.

In an environment of its own:  pip install torch numpy dcls==0.1.1, then
python tests/reference/record_dcls.py  writes dcls.npz next to this file.

Each case has what went in, the dense kernel, the output of a causal layer (of a convolution in two
dimensions), and the gradients of sum(upstream * output) by input, weight and position.
In two dimensions the first position of DCLS 0.1.1 goes along the columns, but is centred by the
number of rows; so the kernel here is square.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZE, INPUTS, OUTPUTS, STEPS, BATCH = 9, 5, 4, 16, 3
CASES = {
    "gauss_wide": ("gauss", 4.0, 1),
    "gauss_narrow": ("gauss", 0.23, 2),
    "max": ("max", 1.5, 2),
    "bilinear": ("v0", 0.0, 1),
    "bilinear_normalised": ("v1", 0.0, 2),
}


def main() -> None:
    import torch
    from DCLS.construct.modules import Dcls1d, Dcls2d

    generator = np.random.default_rng(0)
    arrays = {}

    def draw(*shape):
        return torch.tensor(generator.normal(size=shape).astype(np.float32))

    def record(name, layer, x, pad):
        half = torch.tensor(layer.dilated_kernel_size).reshape(-1, 1, 1, 1) // 2
        with torch.no_grad():
            layer.weight.copy_(draw(*layer.weight.shape))
            spread = torch.tensor(generator.uniform(-1, 1, layer.P.shape).astype(np.float32))
            layer.P.copy_(0.98 * half * spread)
        given = x.clone().requires_grad_()
        y = layer(torch.nn.functional.pad(given, pad))
        upstream = draw(*y.shape)
        (upstream * y).sum().backward()
        arrays[f"{name}/kernel"] = layer.DCK(layer.weight, layer.P, layer.SIG).detach().numpy()
        named = {"x": x, "weight": layer.weight, "position": layer.P, "y": y, "upstream": upstream}
        named |= {"dx": given.grad, "dweight": layer.weight.grad, "dposition": layer.P.grad}
        arrays.update({f"{name}/{key}": value.detach().numpy() for key, value in named.items()})

    for name, (version, sigma, count) in CASES.items():
        layer = Dcls1d(
            INPUTS, OUTPUTS, count, dilated_kernel_size=SIZE, bias=False, version=version
        )
        if layer.SIG is not None:
            layer.SIG.data.fill_(sigma)
        record(name, layer, draw(BATCH, INPUTS, STEPS), (SIZE - 1, 0))
    for name in ("gauss_narrow", "bilinear_normalised"):
        version, sigma, count = CASES[name]
        layer = Dcls2d(4, 6, 3, dilated_kernel_size=(5, 5), groups=2, bias=False, version=version)
        if layer.SIG is not None:
            layer.SIG.data.fill_(sigma)
        record(f"plane_{name}", layer, draw(2, 4, 8, 9), (2, 2, 2, 2))
    np.savez_compressed(Path(__file__).with_name("dcls.npz"), **arrays)


if __name__ == "__main__":
    main()
