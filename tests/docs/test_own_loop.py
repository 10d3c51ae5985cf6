"""The snippets of docs/own_loop.md run in order, and show what the page promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from snnjax.runs import memory

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own_loop.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.S | re.M)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "own_loop"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(next(iter(memory.ENVIRONMENT)), "0")  # leave the memory of the tests alone
        for snippet in SNIPPETS:
            exec(compile(snippet, "docs/own_loop.md", "exec"), scope)
    return scope


def test_both_loops_learn_alike(page: dict[str, Any]) -> None:
    """Four devices take the steps of one; spikes may flip later, where sums are rounded apart."""
    losses, parallel = (np.asarray(page[name]) for name in ("losses", "parallel_losses"))
    assert losses[-1] < 0.5 * losses[0]
    assert parallel[-1] < 0.5 * parallel[0]
    np.testing.assert_allclose(parallel[:2], losses[:2], rtol=1e-4)
    assert page["mesh"].size == 4


def test_the_statistics_of_the_norm_moved(page: dict[str, Any]) -> None:
    """Over the full batch, on every device alike."""
    _, rest, _ = page["state"]
    found = [dict(jax.tree.leaves_with_path(tree)) for tree in (rest, page["rest"])]
    names = [path for path in found[0] if path[-1].key in ("mean", "var")]
    assert names
    for name in names:
        assert (np.asarray(found[0][name]) != np.asarray(found[1][name])).any()
    logits = page["predict"](*page["state"][:2], page["batch"][0])
    assert (np.asarray(logits).argmax(-1) == np.asarray(page["y"])).mean() > 0.9


def test_explicit_axes_fail_as_the_page_says(page: dict[str, Any]) -> None:
    mesh = jax.make_mesh((4,), ("data",))
    x = jax.device_put(page["x"], NamedSharding(mesh, P(None, "data")))
    arrays = jax.device_put((page["params"], page["rest"]), NamedSharding(mesh, P()))
    with (
        jax.set_mesh(mesh),
        pytest.raises(TypeError, match="carry input and carry output must have equal types"),
    ):
        page["predict"](*arrays, x)
    automatic = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    assert automatic == page["mesh"]
