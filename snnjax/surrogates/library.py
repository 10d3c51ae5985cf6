"""Surrogates with exactly the gradient of another library, by that library's name."""

from __future__ import annotations

import inspect

from jax.typing import ArrayLike

from snnjax.surrogates.core import Spike
from snnjax.surrogates.forms import LIBRARY_FORMS
from snnjax.surrogates.registry import lookup

# Names whose published code differs from its documentation, or cannot be called at all.
LEFT_OUT: dict[str, str] = {
    "snnax.sigmoid": "its sigmoid is called with one argument too many, so it raises when it is "
    "differentiated. sigmoid(slope) is what it intends",
    "snntorch.LSO": "its factory calls another operator with a missing argument, so it raises "
    "when it is called. leaky_k_relu(leak=0.1) is what it documents",
    "snntorch.custom_surrogate": "it has no gradient of its own. Pass yours to custom(derivative)",
    "snntorch.triangular": "its sign is wrong: the gradient is +1 below the threshold and -1 "
    "above, of area 0. triangle(width) is what the name suggests",
    "spikingjelly.MultiLevelSpikeCount": "it rounds halves to even, and its gradient is 1 at 0 "
    "and at D too. multi_level(levels) rounds halves up, with 1 between 0 and D only",
    "spyx.custom": "its default gradient is x, negative below the threshold, not the 1 that it "
    "documents. straight_through is what it intends; custom(derivative) takes your own",
}


def like(name: str, **params: ArrayLike) -> Spike:
    """The surrogate with exactly the gradient that another library gives under that name.

    Slopes do not transfer by number: `fast_sigmoid(slope=25)` here has area 1, snnTorch's 2/25, and
    the gain of 0.08 between them acts in each layer, so to the power of the depth. Whether a spike
    fires at x = 0 follows the library too. `LIBRARY_FORMS` holds all names, `LIBRARY_VERSIONS` the
    version of each library, and `LEFT_OUT` the names omitted on purpose, with the reason.

    Args:
      name: "library.name", such as "spikingjelly.ATan" or "spyx.arctan"; "library.name@version"
        where a version differs: "norse.super" takes no parameters, since norse 1.1.0 ignores
        its alpha, "norse.super@1.0.0" takes alpha, as the code after 1.1.0 does.
      **params: parameters with the library's names and defaults.

    Returns:
      A `functools.partial` of one of our surrogates; its `func` and `keywords` show the choice.
      Stochastic ones still need `key=`.

    Raises:
      ValueError: the name is unknown, or left out.
      TypeError: the library has no such parameters.

    >>> spike = like("snntorch.fast_sigmoid")
    >>> spike.func.__name__, spike.keywords
    ('fast_sigmoid', {'strict': True, 'slope': 25.0, 'gain': 0.08})
    """
    if name in LEFT_OUT:
        raise ValueError(f"{name} is left out on purpose: {LEFT_OUT[name]}.")
    form = lookup(LIBRARY_FORMS, name, "library form")
    signature = inspect.signature(form)
    try:
        signature.bind(**params)
    except TypeError as error:
        known = ", ".join(map(str, signature.parameters.values())) or "no parameters"
        others = [other for other in LIBRARY_FORMS if other.startswith(f"{name}@")]
        hint = f" Other versions: {', '.join(others)}." if others else ""
        got = ", ".join(params) or "none"
        raise TypeError(f"{name} takes {known}; got {got}.{hint}") from error
    return form(**params)
