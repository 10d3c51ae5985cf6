"""Tensor parallelism by pairs of layers: the rules of a pair, for any kind of kernel."""

from __future__ import annotations

from jax.sharding import PartitionSpec as P

MODEL = "model"


def pair_rules(
    first: str, between: str, second: str, *, kernel: int = 0
) -> tuple[tuple[str, P], ...]:
    """Cut the first layer of a pair by outputs over "model", and the second by inputs.

    Norms and neurons between them then see the channels of their device alone, and one sum joins
    the outputs of the second: of all ways to cut two layers this sends the least. On the way back
    one sum joins the gradient by the input of the first.

    Args:
      first, second: patterns of the kernels. between: pattern of what has one number a channel
        between them, such as norms, neurons, and a bias of the first.
      kernel: axes of a kernel before its inputs and outputs: 0 for linear and delayed layers
        ([I, O] and [I, O, Kc]), 1 for sparse convolutions [K, I, O], 2 for images [K, K, I, O].

    >>> pair_rules("^fc1/kernel$", "^fc1/bias$", "^fc2/kernel$")[2] == ("^fc2/kernel$", P("model"))
    True
    """
    space = (None,) * kernel
    return (
        (first, P(*space, None, MODEL)),
        (between, P(MODEL)),
        (second, P(*space, MODEL)),
    )
