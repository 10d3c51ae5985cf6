"""Record what norse 1.0.0 computes, for tests/neurons/test_recorded_others.py.

In an environment of its own:  pip install torch numpy norse==1.0.0, then
python tests/reference/record_norse.py  writes norse.npz next to this file.

Outputs, the last potential and threshold, and the gradient of sum(upstream * outputs) with respect
to the input; the surrogate is norse's "super" with alpha 10.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

T, N, DT = 24, 6, 0.001
RATES = {"tau_syn_inv": 200.0, "tau_mem_inv": 300.0, "tau_adapt_inv": 50.0}
BETA, THRESHOLD, ALPHA = 0.8, 0.9, 10.0


def main() -> None:
    import torch
    from norse.torch.functional import lsnn

    generator = np.random.default_rng(0)
    x = generator.normal(0.6, 1.0, (T, N)).astype(np.float32)
    upstream = generator.normal(size=(T, N)).astype(np.float32)
    rates = {name: torch.tensor(rate) for name, rate in RATES.items()}
    params = lsnn.LSNNParameters(
        **rates, v_th=torch.tensor(THRESHOLD), beta=torch.tensor(BETA), method="super", alpha=ALPHA
    )
    zero = torch.zeros(N)
    state = lsnn.LSNNFeedForwardState(v=zero, i=zero, b=torch.full((N,), THRESHOLD))
    given, outs = torch.tensor(x, requires_grad=True), []
    for step in given:
        z, state = lsnn.lsnn_feed_forward_step(step, state, params, DT)
        outs.append(z)
    out = torch.stack(outs)
    (out * torch.tensor(upstream)).sum().backward()
    np.savez_compressed(
        Path(__file__).with_name("norse.npz"),
        **{"x": x, "upstream": upstream, "lsnn/out": out.detach().numpy()},
        **{"lsnn/v": state.v.detach().numpy(), "lsnn/b": state.b.detach().numpy()},
        **{"lsnn/dx": given.grad.numpy()},
    )


if __name__ == "__main__":
    main()
