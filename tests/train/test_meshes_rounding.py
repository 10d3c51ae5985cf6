"""float32 on several devices: what rounding changes in a training is less than another seed does.

The order of sums differs between meshes, a membrane near its threshold crosses it on one of them,
and from then on the curves part. Two seeds on one device say how far apart curves may lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snnjax.experiment import OptimiserConfig
from tests.train.build import changed
from tests.train.on_meshes import Subject, compiled, curve_of
from tests.train.subjects import NAMES, first_of, subject

STEPS = 20
MESHES = [
    ("data=8", "replicated"),
    ("data=4", "fsdp"),
    ("model=2", "tensor"),
    ("data=2,model=4", "mixed"),
]


def lively(name: str) -> Subject:
    """A subject that learns quickly, so that what rounds differently grows."""
    on = subject(name, np.float32)
    rule = OptimiserConfig("sgd", 2.0, 0.0, 0.0, clip_norm=1.0)
    return on._replace(experiment=changed(on.experiment, optimiser=rule))


def losses(on: Subject, starts: list[Any], mesh: str, sharding: str) -> np.ndarray:
    """Losses [starts, STEPS] on one mesh, of a batch that is learned by heart."""
    spec, program, batch = compiled(on, mesh, sharding)
    curves = (curve_of(spec, program, start, [batch] * STEPS)[0] for start in starts)
    return np.array([curve[:, 0] for curve in curves])


def later(curve: np.ndarray, other: np.ndarray) -> float:
    """Root-mean-square distance of two curves after the first step."""
    return float(np.sqrt(np.mean((curve - other)[1:] ** 2)))


def differs_less_than_seeds(name: str, meshes: list[tuple[str, str]]) -> None:
    """The first loss to 1e-6, those that follow less far than those of two seeds; all printed."""
    on = lively(name)
    starts = [first_of(on, seed) for seed in range(2)]
    assert starts[0].weights.params["head"]["kernel"].dtype == np.float32
    one, other = losses(on, starts, "data=1", "replicated")
    assert one[-1] < one[0]
    print(name, "from", one[0], "to", one[-1], "two seeds:", later(one, other))
    for mesh, sharding in meshes:
        (curve,) = losses(on, starts[:1], mesh, sharding)
        print(name, mesh, sharding, curve[0] / one[0] - 1, later(curve, one))
        np.testing.assert_allclose(curve[0], one[0], rtol=1e-6)
        assert later(curve, one) < later(one, other)


def test_a_convolutional_net_differs_less_than_seeds() -> None:
    differs_less_than_seeds("conv", [MESHES[1], MESHES[3]])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_subject_differs_less_than_seeds(name: str) -> None:
    differs_less_than_seeds(name, MESHES)
