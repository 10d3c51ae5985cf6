"""Dotted paths of the parts of a model, and of the blocks of a `Repeat`."""

from __future__ import annotations


def below(path: str) -> str:
    """What the paths of the parts of a module begin with."""
    return f"{path}." if path else ""


def join(*parts: str) -> str:
    """A dotted path of parts, of which some may be empty."""
    return ".".join(part for part in parts if part)


def unnumber(tap: str, path: str) -> tuple[str, int | None]:
    """A path inside stacked blocks without the number of the block, and the number.

    >>> unnumber("blocks.2.mlp:v", "blocks"), unnumber("head", "blocks")
    (('blocks.mlp:v', 2), ('head', None))
    """
    rest = tap.removeprefix(below(path)) if tap.startswith(below(path)) else ""
    number, _, inner = rest.partition(".")
    return (join(path, inner), int(number)) if number.isdecimal() else (tap, None)


def unnumbered(taps: frozenset[str], path: str) -> frozenset[str]:
    """Those paths that lie inside stacked blocks, without the number of the block."""
    return frozenset(layer for layer, i in (unnumber(tap, path) for tap in taps) if i is not None)
