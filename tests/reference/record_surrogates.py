"""Record the gradients of other libraries' spike functions, for tests/surrogates/test_recorded.py.

In an environment of its own:  pip install torch spikingjelly==2.0.0 snntorch==1.0.0 norse==1.1.0,
then  python tests/reference/record_surrogates.py  writes surrogates.npz next to this file.

Each entry is [2, N]: the gradient of the sum of the spikes at x, and the spikes; "soft/..." are the
primitives of SpikingJelly. Parameters are the defaults, or those of PARAMS where there are none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

X = np.concatenate([np.linspace(-3.0, 3.0, 49), [-0.13, 0.47, 0.53, 1.03]]).astype(np.float32)
SPIKINGJELLY = [
    "ATan",
    "DeterministicPass",
    "Erf",
    "FakeNumericalGradient",
    "LeakyKReLU",
    "LogTailedReLU",
    "NonzeroSignLogAbs",
    "PiecewiseExp",
    "PiecewiseLeakyReLU",
    "PiecewiseQuadratic",
    "QPseudoSpike",
    "Rect",
    "S2NN",
    "Sigmoid",
    "SoftSign",
    "SquarewaveFourierSeries",
    "SuperSpike",
]
NO_PRIMITIVE = ("FakeNumericalGradient", "SuperSpike")
SNNTORCH = [
    "SFS",
    "atan",
    "fast_sigmoid",
    "heaviside",
    "sigmoid",
    "spike_rate_escape",
    "straight_through_estimator",
]
NORSE = {"super": 100.0, "triangle": 0.3, "tanh": 0.9, "circ": 0.6, "heavi_erfc": 1.7}
PARAMS = {"norse.tanh": {"k": 0.9}, "norse.circ": {"alpha": 0.6}, "norse.heavi_erfc": {"k": 1.7}}


def main() -> None:
    import snntorch.surrogate
    import torch
    from norse.torch.functional.threshold import threshold
    from spikingjelly.activation_based import surrogate

    def record(spike):
        x = torch.tensor(X, requires_grad=True)
        y = spike(x)
        y.sum().backward()
        return np.stack([x.grad.numpy(), y.detach().numpy()])

    arrays = {"x": X}
    for name in SPIKINGJELLY:
        arrays[f"spikingjelly.{name}"] = record(getattr(surrogate, name)())
        if name not in NO_PRIMITIVE:
            soft = getattr(surrogate, name)(spiking=False)
            arrays[f"soft/spikingjelly.{name}"] = record(soft)
    for name in SNNTORCH:
        arrays[f"snntorch.{name}"] = record(getattr(snntorch.surrogate, name)())
    for name, alpha in NORSE.items():
        arrays[f"norse.{name}"] = record(lambda x, n=name, a=alpha: threshold(x, n, a))
    np.savez_compressed(Path(__file__).with_name("surrogates.npz"), **arrays)


if __name__ == "__main__":
    main()
