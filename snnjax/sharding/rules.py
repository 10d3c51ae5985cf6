"""From the path of a parameter to how it lies on a mesh: a table in which the first match wins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Rules = Sequence[tuple[str, P]]
"""Pairs of a regular expression, searched in the path of a parameter, and how it is cut."""

REST = (".*", P())
"""The rule that leaves whole what no other names."""


def parameter_path(keys: tuple[Any, ...]) -> str:
    """The path of a leaf as rules see it, such as ``stages/0/down/weight``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def specs_by_rules(rules: Rules, params: Any, mesh: Mesh, *, stats: Any = ()) -> Any:
    """For each parameter the spec of the first rule whose pattern is found in its path.

    Args:
      rules: the table. A last rule `(".*", P())` leaves the rest whole, and there need be none.
      params: a tree of arrays, or of `jax.ShapeDtypeStruct`.
      mesh: what the specs must fit.
      stats: the other arrays of the model, over which a rule may decide instead.

    Returns:
      A tree as `params`, of `PartitionSpec`.

    Raises:
      ValueError: a parameter has no rule or one that does not fit it, or a rule has no parameter.

    >>> import jax.numpy as jnp
    >>> from snnjax.sharding import parse_mesh
    >>> rules = (("kernel$", P(None, "data")), (".*", P()))
    >>> params = {"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}
    >>> specs = specs_by_rules(rules, params, parse_mesh("data=1"))
    >>> specs == {"kernel": P(None, "data"), "bias": P()}
    True
    """
    named, structure = jax.tree_util.tree_flatten_with_path(params)
    paths = [parameter_path(keys) for keys, _ in named]
    patterns = [_compiled(pattern) for pattern, _ in rules]
    used, specs = set(), []
    for path, (_, leaf) in zip(paths, named, strict=True):
        first = next((i for i, pattern in enumerate(patterns) if pattern.search(path)), None)
        if first is None:
            raise ValueError(
                f"no sharding rule matches {path!r} with shape {tuple(leaf.shape)}; the patterns "
                f"are {', '.join(repr(pattern) for pattern, _ in rules)}. Add a rule for it, or "
                "at the end ('.*', P()), which leaves the rest whole."
            )
        pattern, spec = rules[first]
        check_spec(spec, leaf.shape, mesh, f"{path!r}, rule {pattern!r}")
        used.add(first)
        specs.append(spec)
    used |= _first_matches(patterns, stats)
    idle = [rule[0] for i, rule in enumerate(rules) if i not in used and rule != REST]
    if idle:
        raise ValueError(
            f"the sharding rules {', '.join(map(repr, idle))} decide over no parameter: none has "
            f"them in its path, or an earlier rule takes it. Leave them out, or correct them; "
            f"there are {', '.join(paths)}."
        )
    return jax.tree.unflatten(structure, specs)


def _first_matches(patterns: Sequence[re.Pattern[str]], tree: Any) -> set[int | None]:
    """Which rules decide over the arrays of a tree."""
    paths = [parameter_path(keys) for keys, _ in jax.tree.leaves_with_path(tree)]
    return {next((i for i, p in enumerate(patterns) if p.search(path)), None) for path in paths}


def check_spec(spec: P, shape: Sequence[int], mesh: Mesh, where: str) -> None:
    """Raise unless an array of this shape can be cut so over the mesh.

    Args:
      spec: how it is cut, with at most one axis of the mesh for each of its dimensions.
      shape: of the array. mesh: the devices.
      where: which array and which rule, for the message.
    """
    what = f"{where}: {spec} does not fit shape {tuple(shape)}"
    if len(spec) > len(shape):
        raise ValueError(
            f"{what}, which has {len(shape)} dimensions for its {len(spec)} entries. Leave out "
            "entries."
        )
    seen = set()
    for dim, axis in enumerate(spec):
        if axis is None:
            continue
        if not isinstance(axis, str):
            raise ValueError(
                f"{what}: dimension {dim} is cut over {axis!r}. Name one axis of the mesh, and "
                "another for another dimension."
            )
        if axis not in mesh.shape:
            raise ValueError(
                f"{what}: the mesh has no axis {axis!r}, only {', '.join(mesh.shape)}. Add it to "
                f"the mesh, such as '{axis}=2', or choose another sharding."
            )
        if axis in seen:
            raise ValueError(f"{what}: it names {axis!r} twice. Cut one dimension over it.")
        seen.add(axis)
        if shape[dim] % mesh.shape[axis]:
            raise ValueError(
                f"{what}: dimension {dim} is {shape[dim]}, which the {mesh.shape[axis]} devices of "
                f"{axis!r} do not divide. Take a size of {axis!r} that does, or leave it whole."
            )


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"the sharding rule {pattern!r} is no regular expression ({error})."
        ) from error


def specs_like(params: Any, specs: Any, state: Any) -> Any:
    """Specs of a state that holds copies of parameters, such as the moments of an optimiser.

    A leaf whose path ends in that of a parameter of the same shape is cut as it; all others, such
    as counters, are whole.

    >>> import jax.numpy as jnp
    >>> w = {"kernel": jnp.ones((2, 4))}
    >>> specs = specs_like(w, {"kernel": P("data")}, {"mu": w, "count": jnp.ones(())})
    >>> specs == {"mu": {"kernel": P("data")}, "count": P()}
    True
    """
    known = {
        tuple(map(_key, keys)): (leaf.shape, spec)
        for (keys, leaf), spec in zip(
            jax.tree.leaves_with_path(params), jax.tree.leaves(specs), strict=True
        )
    }

    def spec_of(keys: tuple[Any, ...], leaf: Any) -> P:
        names = tuple(map(_key, keys))
        for start in range(len(names)):  # the longest ending first
            shape, spec = known.get(names[start:], (None, P()))
            if shape == leaf.shape:
                return spec
        return P()

    return jax.tree_util.tree_map_with_path(spec_of, state)


def _key(key: Any) -> str:
    return parameter_path((key,))


def placed(specs: Any, mesh: Mesh) -> Any:
    """The same tree with the mesh: `NamedSharding` for `PartitionSpec`."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
