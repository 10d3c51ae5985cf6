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
        "plif_step",
        "SpikingJelly ParametricLIFNode",
        "w=plif_weight(init_tau), as LIFNode else",
        "spikingjelly",
        "plif",
    ),
    Row("ilif_step", "SpikingJelly ILIFNode", "beta=0.25", "spikingjelly", "ilif"),
    Row("cuba_step", "SpikingJelly CUBALIFNode", "decay_c=0.5, decay=0.75", "adaptive", "cuba"),
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
    Row("unroll.psn", "SpikingJelly PSN", "weight, bias", "psn", "psn"),
    Row(
        "unroll.masked_psn", "SpikingJelly MaskedPSN", "window=k, strength=lambda", "psn", "masked"
    ),
    Row("unroll.sliding_psn", "SpikingJelly SlidingPSN", "weight, bias", "psn", "sliding"),
)
