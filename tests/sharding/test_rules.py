from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import PartitionSpec as P

from snnjax.models import e3dsnn_t, snn_delays_shd
from snnjax.sharding import (
    PRESETS,
    fsdp,
    parameter_path,
    parse_mesh,
    preset_specs,
    specs_by_rules,
    specs_like,
    stats_specs,
)

MESH = parse_mesh("data=4,model=2")
PARAMS = {
    "first": {"kernel": jnp.ones((64, 32)), "bias": jnp.ones(32)},
    "layers": [{"kernel": jnp.ones((27, 32, 64))}],
}
RULES = (
    ("first/kernel$", P(None, "model")),
    ("kernel$", P(None, "data", "model")),
    (".*", P()),
)


def test_the_first_rule_that_matches_decides() -> None:
    assert specs_by_rules(RULES, PARAMS, MESH) == {
        "first": {"kernel": P(None, "model"), "bias": P()},
        "layers": [{"kernel": P(None, "data", "model")}],
    }


def test_paths_are_those_of_modules_and_optimiser_groups() -> None:
    model = nnx.eval_shape(lambda: e3dsnn_t(rngs=nnx.Rngs(0)))
    params = nnx.as_pure(nnx.state(model, nnx.Param))
    paths = {parameter_path(keys) for keys, _ in jax.tree.leaves_with_path(params)}
    assert {"head/kernel", "stages/0/blocks/0/first/conv/weight", "stem/norm/scale"} <= paths


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (RULES[:1], r"no sharding rule matches 'first/bias' with shape \(32,\).*Add a rule"),
        (
            (("bias", P(None, "data")), (".*", P())),
            r"'first/bias', rule 'bias'.*\(32,\), which has 1 dimensions for its 2 entries",
        ),
        (
            (("kernel", P("data")), (".*", P())),
            r"'layers/0/kernel', rule 'kernel'.*dimension 0 is 27, which the 4 devices of 'data' "
            "do not divide",
        ),
        ((("bias", P("seq")), (".*", P())), "the mesh has no axis 'seq', only data, model. Add"),
        ((("bias", P(("data", "model"))), (".*", P())), "dimension 0 is sharded over .* one axis"),
        (
            (("layers", P(None, "data", "data")), (".*", P())),
            r"names 'data' twice|duplicate",
        ),
        ((("decay", P("data")), (".*", P())), "rules 'decay' match no parameter.*Remove"),
        (((".*", P()), ("bias", P("data"))), "rules 'bias' match no parameter"),
        ((("(", P()),), "not a valid regular expression"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(rules: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        specs_by_rules(rules, PARAMS, MESH)


def test_a_rule_for_the_rest_may_have_none() -> None:
    assert specs_by_rules((("w", P("data")), (".*", P())), {"w": jnp.ones(4)}, MESH) == {
        "w": P("data")
    }


def test_fsdp_shards_the_largest_dimension_that_divides() -> None:
    """Small leaves are replicated; of equal dimensions the first is sharded."""
    params = {
        "conv": jnp.ones((27, 16, 32)),
        "odd": jnp.ones((27, 12, 9)),
        "square": jnp.ones((64, 64)),
        "small": jnp.ones((31, 33)),
    }
    assert fsdp(params, MESH) == {
        "conv": P(None, None, "data"),
        "odd": P(None, "data", None),
        "square": P("data", None),
        "small": P(),
    }
    with pytest.raises(
        ValueError, match=r"'w' with shape \(27, 81\) has no dimension .* 4 devices"
    ):
        fsdp({"w": jnp.ones((27, 81))}, MESH)


def test_mixed_takes_another_dimension_than_the_rules() -> None:
    specs = preset_specs("mixed", PARAMS, MESH, (*RULES[:1], *RULES[2:]))
    assert specs["first"] == {"kernel": P("data", "model"), "bias": P()}
    assert specs["layers"][0]["kernel"] == P(None, None, "data")
    rules = (("w", P(None, "model")),)
    assert preset_specs("mixed", {"w": jnp.ones((27, 64))}, MESH, rules) == {"w": rules[0][1]}


@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        ("fdsp", None, "sharding must be one of replicated, fsdp, tensor, mixed; got 'fdsp'"),
        ("tensor", None, "give it its own tensor_rules"),
        ("mixed", (), "give it its own tensor_rules"),  # a model that says nothing has no rules
        ("replicated", None, "does not use the 2 devices of the axis 'model'"),
        ("fsdp", RULES, "does not use the 2 devices of the axis 'model'"),
        ("tensor", ((".*", P()),), "does not use the 2 devices"),
    ],
)
def test_a_preset_that_does_not_fit_is_refused(name: str, rules: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preset_specs(name, PARAMS, MESH, rules)


def test_tensor_needs_its_axis() -> None:
    with pytest.raises(ValueError, match=r"no axis 'model', only data\. Add it"):
        preset_specs("tensor", PARAMS, parse_mesh("data=4"), RULES)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "make",
    [
        e3dsnn_t,
        snn_delays_shd,
        lambda rngs: snn_delays_shd(layers=3, per="input", rngs=rngs),
        lambda rngs: snn_delays_shd(layers=1, delays="fixed", rngs=rngs),
    ],
)
def test_the_published_models_fit_every_preset(make: Any, name: str) -> None:
    model = nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
    _, params, stats = nnx.split(model, nnx.Param, ...)
    params, stats = nnx.as_pure(params), nnx.as_pure(stats)
    mesh = parse_mesh("data=4,model=2" if name in ("tensor", "mixed") else "data=8")
    specs = preset_specs(name, params, mesh, model.tensor_rules(), stats)
    for leaf, spec in zip(jax.tree.leaves(params), jax.tree.leaves(specs), strict=True):
        large = leaf.size >= 1024 and leaf.shape != (27, 6, 16)  # mixed shards that over "model"
        assert ("data" in spec) == {"fsdp": leaf.size >= 1024, "mixed": large}.get(name, False)
    kept = stats_specs(name, stats, mesh, model.tensor_rules())
    assert any("model" in s for s in jax.tree.leaves(kept)) == (name in ("tensor", "mixed"))


def test_moments_are_sharded_as_their_parameters() -> None:
    optimiser = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.partition(
            {"a": optax.adam(1e-3), "b": optax.sgd(1e-2, momentum=0.9)},
            lambda tree: jax.tree_util.tree_map_with_path(
                lambda keys, _: "a" if "first" in parameter_path(keys) else "b", tree
            ),
        ),
    )
    specs = specs_by_rules(RULES, PARAMS, MESH)
    state = optimiser.init(PARAMS)
    got = specs_like(PARAMS, specs, state)
    pairs = {
        (parameter_path(keys), spec)
        for (keys, leaf), spec in zip(
            jax.tree.leaves_with_path(state), jax.tree.leaves(got), strict=True
        )
        if leaf.ndim
    }
    assert len(pairs) == 5  # two moments of two parameters, one of the third
    for path, spec in pairs:
        want = P(None, "data", "model") if "layers" in path else P(None, "model")
        assert spec == (P() if "bias" in path else want), path
    counters = [
        s for a, s in zip(jax.tree.leaves(state), jax.tree.leaves(got), strict=True) if not a.ndim
    ]
    assert counters
    assert set(counters) == {P()}


def test_a_shorter_path_or_another_shape_is_not_a_copy() -> None:
    params = {"kernel": np.ones((4, 4)), "inner": {"kernel": np.ones((8, 4))}}
    specs = {"kernel": P("data"), "inner": {"kernel": P("model")}}
    state = {
        "mu": params,
        "row": {"kernel": np.ones(4)},
        "nu": {"inner": {"kernel": np.ones((8, 4))}},
    }
    assert specs_like(params, specs, state) == {
        "mu": specs,
        "row": {"kernel": P()},
        "nu": {"inner": {"kernel": P("model")}},
    }
