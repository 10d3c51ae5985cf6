"""The valid name nearest to a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def _tail(option: str) -> str:
    return option.lstrip("-").rsplit(".", 1)[-1]


def nearest(word: str, valid: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` valid names like `word`, best first.

    A dotted name is also found by its last part, so that an option is found without its group.

    >>> nearest("evalute", ["train", "evaluate"])
    ['evaluate']
    >>> nearest("--learning_rate", ["--optimiser.learning-rate", "--epochs"])
    ['--optimiser.learning-rate']
    """
    word = word.replace("_", "-")

    def likeness(name: str) -> float:
        name = name.replace("_", "-")
        full = difflib.SequenceMatcher(None, word, name).ratio()
        return max(full, 0.95 * difflib.SequenceMatcher(None, _tail(word), _tail(name)).ratio())

    scored = sorted(
        ((likeness(name), name) for name in valid), key=lambda pair: (-pair[0], pair[1])
    )
    bar = max(0.6, scored[0][0] - 0.15) if scored else 1.0
    return [name for score, name in scored[:count] if score >= bar]


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """A hint to append to an error: the nearest names, or all of them where none is near.

    >>> did_you_mean("trian", ["train", "info"])
    "did you mean 'train'?"
    >>> did_you_mean("xyzzy", ["train", "info"])
    'valid names: info, train'
    """
    names = sorted(valid)
    close = nearest(word, names)
    if not close:
        return f"valid names: {', '.join(names)}"
    return f"did you mean {' or '.join(map(repr, close))}?"
