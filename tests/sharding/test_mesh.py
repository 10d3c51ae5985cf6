from __future__ import annotations

import jax
import pytest
from jax.sharding import AxisType

from snnjax.sharding import mesh_axes, parse_mesh


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("data=4,model=2", {"data": 4, "model": 2}),
        ("model=2, data=4", {"model": 2, "data": 4}),
        ("data=-1", {"data": 8}),
        ("data=-1,model=4", {"data": 2, "model": 4}),
        ("model=2", {"data": 1, "model": 2}),
        ("data=3", {"data": 3}),
    ],
)
def test_a_mesh_has_the_axes_that_the_text_names(text: str, shape: dict[str, int]) -> None:
    mesh = parse_mesh(text)
    assert dict(mesh.shape) == shape
    assert mesh.axis_types == (AxisType.Auto,) * len(shape)
    assert list(mesh.devices.flat) == jax.devices()[: mesh.size]


def test_the_devices_may_be_given() -> None:
    chosen = jax.devices()[2:6]
    assert list(parse_mesh("data=-1,model=2", chosen).devices.flat) == chosen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a comma-separated list of axis=size, such as 'data=4,model=2'"),
        ("data", "a comma-separated list of axis=size"),
        ("data=4;model=2", "a comma-separated list of axis=size"),
        ("data=four", "a comma-separated list of axis=size"),
        ("data=4,", "a comma-separated list of axis=size"),
        (4, "a comma-separated list of axis=size"),
        ("date=4", "axes of a mesh are data and model; got 'date'"),
        ("data=2,data=4", "names 'data' twice"),
        ("data=0", "at least 1, or -1"),
        ("data=-2", "at least 1, or -1"),
        ("data=-1,model=-1", "one axis of a mesh may be -1"),
        ("data=9", "needs 9 devices, but there are 8. .*JAX_NUM_CPU_DEVICES"),
        ("data=4,model=4", "needs 16 devices, but there are 8"),
        (
            "data=-1,model=3",
            "multiply to 3, which does not divide the 8 available devices.* at most 2",
        ),
    ],
)
def test_a_mesh_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_mesh(text)


def test_sizes_are_read_without_devices() -> None:
    assert mesh_axes("data=512,model=8") == {"data": 512, "model": 8}
