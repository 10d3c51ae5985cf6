"""Dotted paths of submodules, and of the blocks of a `Repeat`."""

from __future__ import annotations


def below(path: str) -> str:
    """The common prefix of the paths of a module's parts."""
    return f"{path}." if path else ""


def join(*parts: str) -> str:
    """Join parts into a dotted path, skipping empty ones."""
    return ".".join(part for part in parts if part)


def unnumber(tap: str, path: str) -> tuple[str, int | None]:
    """Split a path inside stacked blocks into the path without the block number, and the number.

    >>> unnumber("blocks.2.mlp:v", "blocks"), unnumber("head", "blocks")
    (('blocks.mlp:v', 2), ('head', None))
    """
    rest = tap.removeprefix(below(path)) if tap.startswith(below(path)) else ""
    number, _, inner = rest.partition(".")
    return (join(path, inner), int(number)) if number.isdecimal() else (tap, None)


def unnumbered(taps: frozenset[str], path: str) -> frozenset[str]:
    """The paths that lie inside stacked blocks, without block numbers."""
    return frozenset(layer for layer, i in (unnumber(tap, path) for tap in taps) if i is not None)
