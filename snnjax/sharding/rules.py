"""Sharding rules: a table from parameter paths to partition specs; the first match wins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

Rules = Sequence[tuple[str, P]]
"""Pairs of a regular expression, searched in the path of a parameter, and its partition spec."""

REST = (".*", P())
"""The rule that replicates whatever no other rule matches."""


def parameter_path(keys: tuple[Any, ...]) -> str:
    """The path of a leaf as matched by rules, such as ``stages/0/down/weight``."""
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def specs_by_rules(rules: Rules, params: Any, mesh: Mesh, *, stats: Any = ()) -> Any:
    """The partition spec of each parameter, from the first rule whose pattern matches its path.

    Args:
      rules: the table. A last rule `(".*", P())` replicates the rest; it may match nothing.
      params: a tree of arrays, or of `jax.ShapeDtypeStruct`.
      mesh: the mesh that the specs must fit.
      stats: the other arrays of the model, which a rule may match too.

    Returns:
      A tree of `PartitionSpec` with the structure of `params`.

    Raises:
      ValueError: no rule matches a parameter, a rule does not fit it, or a rule matches nothing.

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
                "at the end ('.*', P()), which replicates the rest."
            )
        pattern, spec = rules[first]
        check_spec(spec, leaf.shape, mesh, f"{path!r}, rule {pattern!r}")
        used.add(first)
        specs.append(spec)
    used |= _first_matches(patterns, stats)
    idle = [rule[0] for i, rule in enumerate(rules) if i not in used and rule != REST]
    if idle:
        raise ValueError(
            f"the sharding rules {', '.join(map(repr, idle))} match no parameter: none has them in "
            f"its path, or an earlier rule matches first. Remove or correct them; "
            f"the parameters are {', '.join(paths)}."
        )
    return jax.tree.unflatten(structure, specs)


def _first_matches(patterns: Sequence[re.Pattern[str]], tree: Any) -> set[int | None]:
    """The rules that match the arrays of a tree."""
    paths = [parameter_path(keys) for keys, _ in jax.tree.leaves_with_path(tree)]
    return {next((i for i, p in enumerate(patterns) if p.search(path)), None) for path in paths}


def check_spec(spec: P, shape: Sequence[int], mesh: Mesh, where: str) -> None:
    """Raise unless an array of this shape can be sharded over the mesh by this spec.

    Args:
      spec: the partition spec, with at most one mesh axis for each dimension.
      shape: shape of the array. mesh: the device mesh.
      where: the array and the rule to name in the message.
    """
    what = f"{where}: {spec} does not fit shape {tuple(shape)}"
    if len(spec) > len(shape):
        raise ValueError(
            f"{what}, which has {len(shape)} dimensions for its {len(spec)} entries. Remove "
            "entries."
        )
    seen = set()
    for dim, axis in enumerate(spec):
        if axis is None:
            continue
        if not isinstance(axis, str):
            raise ValueError(
                f"{what}: dimension {dim} is sharded over {axis!r}. Name one axis of the mesh, and "
                "a different one for each dimension."
            )
        if axis not in mesh.shape:
            raise ValueError(
                f"{what}: the mesh has no axis {axis!r}, only {', '.join(mesh.shape)}. Add it to "
                f"the mesh, such as '{axis}=2', or choose another sharding."
            )
        if axis in seen:
            raise ValueError(f"{what}: it names {axis!r} twice. Shard one dimension over it.")
        seen.add(axis)
        if shape[dim] % mesh.shape[axis]:
            raise ValueError(
                f"{what}: dimension {dim} is {shape[dim]}, which the {mesh.shape[axis]} devices of "
                f"{axis!r} do not divide. Use a size of {axis!r} that does, or replicate it."
            )


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"the sharding rule {pattern!r} is not a valid regular expression ({error})."
        ) from error


def specs_like(params: Any, specs: Any, state: Any) -> Any:
    """The specs of a state that holds copies of parameters, such as the moments of an optimiser.

    A leaf whose path ends in the path of a parameter of the same shape is sharded like it; all
    others, such as counters, are replicated.

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
    """The tree with each `PartitionSpec` bound to the mesh as a `NamedSharding`."""
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
