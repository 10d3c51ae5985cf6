"""The table "ours equals theirs" of snnjax.neurons, with the recorded cases that hold each row."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A line of the table: our function, the other library's, when they are equal, and the cases.

    `cases` are the names of arrays in `file` up to the slash; those that begin so belong to it.
    """

    ours: str
    theirs: str
    when: str
    file: str
    cases: str

    def __str__(self) -> str:
        return f"| {self.ours} | {self.theirs} | {self.when} |"


ROWS = (
    Row("if_step", "SpikingJelly IFNode", "v_reset None: subtract, 0: zero", "spikingjelly", "if"),
    Row(
        "lif_step",
        "SpikingJelly LIFNode",
        "decay=euler(tau), scale_input=decay_input; detach(reset)",
        "spikingjelly",
        "lif",
    ),
    Row(
        "lif_step",
        "SpikingJelly LIFNode, v_reset not 0",
        "v_rest=v_reset, reset=reset_to(v_reset)",
        "leaky",
        "spikingjelly.LIF_rest",
    ),
    Row(
        "lif_step",
        "snnTorch Leaky, subtract",
        "decay=beta, timing=next_step, reset=detach(subtract)",
        "leaky",
        "snntorch.Leaky_subtract",
    ),
    Row(
        "lif_step",
        "snnTorch Leaky, zero",
        "decay=beta, timing=before_leak, reset=detach(zero)",
        "leaky",
        "snntorch.Leaky_zero",
    ),
    Row(
        "lif_step",
        "snnTorch Lapicque",
        "decay=euler(R C), input dt / C, timing=next_step, detach(reset)",
        "leaky",
        "snntorch.Lapicque",
    ),
    Row(
        "plif_step",
        "SpikingJelly ParametricLIFNode",
        "w=plif_weight(init_tau), else as LIFNode",
        "spikingjelly",
        "plif",
    ),
    Row("ilif_step", "SpikingJelly ILIFNode", "beta=0.25", "spikingjelly", "ilif"),
    Row("cuba_step", "SpikingJelly CUBALIFNode", "decay_c=0.5, decay=0.75", "adaptive", "cuba"),
    Row(
        "cuba_step",
        "snnTorch Synaptic",
        "decay_c=alpha, decay=beta, timing=next_step, detach(reset)",
        "leaky",
        "snntorch.Synaptic",
    ),
    Row(
        "cuba_step",
        "norse LIF, one step earlier",
        "decays 1 - dt tau_inv, input dt tau_mem_inv, v_leak",
        "leaky",
        "norse.LIF",
    ),
    Row(
        "qif_step",
        "SpikingJelly QIFNode",
        "constants by name, v0=v_reset",
        "leaky",
        "spikingjelly.QIF",
    ),
    Row(
        "eif_step",
        "SpikingJelly EIFNode",
        "delta=delta_T, v_rh=theta_rh, v0=v_reset",
        "leaky",
        "spikingjelly.EIF",
    ),
    Row(
        "klif_step",
        "SpikingJelly KLIFNode",
        "decay=euler(tau), scale_input=decay_input, scale_reset",
        "adaptive",
        "klif",
    ),
    Row(
        "glif_step",
        "SpikingJelly GatedLIFNode",
        "constants are sigmoids of theirs, conduct of the step",
        "adaptive",
        "glif",
    ),
    Row(
        "liaf_step",
        "SpikingJelly LIAFNode, by steps",
        "decay=euler(tau), act, threshold_related",
        "adaptive",
        "liaf",
    ),
    Row(
        "adaptive_qif_step",
        "SpikingJelly IzhikevichNode",
        "constants by name, v0=v_reset",
        "adaptive",
        "izhikevich",
    ),
    Row(
        "izhikevich_step",
        "jaxpike Izhikevich",
        "peak=v_peak + 10, spike(x + 10), start (c, b c)",
        "jax",
        "jaxpike.Izhikevich",
    ),
    Row("alif_step", "jaxpike ALIF", "decays exact(tau, dt)", "jax", "jaxpike.ALIF"),
    Row(
        "alif_step",
        "norse LSNN, one step earlier",
        "decays 1 - dt tau_inv, beta times decay_a, reset=zero",
        "norse",
        "lsnn",
    ),
    Row(
        "alif_step",
        "spyx ALIF, one step earlier",
        "decay_a=gamma, beta=1 - gamma, reset by theta / decay",
        "jax",
        "spyx.ALIF",
    ),
    Row("psn", "SpikingJelly PSN", "weight, bias", "psn", "psn"),
    Row("masked_psn", "SpikingJelly MaskedPSN", "window=k, strength=lambda", "psn", "masked"),
    Row("sliding_psn", "SpikingJelly SlidingPSN", "weight, bias", "psn", "sliding"),
)
