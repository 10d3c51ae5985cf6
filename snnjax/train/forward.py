"""How a batch goes through a model: clouds as voxels, sequences as frames."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
from jax import Array

from snnjax.models import ClassifierOutput
from snnjax.sparse import Capacities, SparseTensor, voxelize


class DeviceBatch(NamedTuple):
    """What a step reads, batch first.

    Attributes:
      points: points of clouds [B, P, C], or frames of sequences [B, T, C]; float32.
      count: valid points or frames, int32 [B].
      label: int32 [B].
      weight: 1 for a sample, 0 for a row that only fills the batch, float32 [B].
    """

    points: Array
    count: Array
    label: Array
    weight: Array


class Forward(Protocol):
    """One kind of data in a step; static, so equal ones share a program.

    `capacities` are the bucket of a batch of clouds, and None for sequences.
    """

    def inputs(self, points: Array, count: Array, capacities: Any) -> Any:
        """What the model reads."""
        ...

    def __call__(
        self,
        model: Any,
        x: Any,
        count: Array,
        capacities: Any,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
        record: bool = False,
    ) -> ClassifierOutput:
        """What the model says of `x`."""
        ...


class CloudForward(NamedTuple):
    """Clouds as sparse voxels.

    Attributes:
      extent: voxels along a side of the cube [-1, 1]^3.
      depth: levels below the grid, at which the model halves it.
    """

    extent: int
    depth: int

    def inputs(self, points: Array, count: Array, capacities: Any) -> SparseTensor:
        """The voxels of the clouds."""
        return to_voxels(points, count, self.extent, capacities)

    def __call__(
        self, model: Any, x: Any, count: Array, capacities: Any, **options: Any
    ) -> ClassifierOutput:
        """The output of a classifier of `snnjax.models.MODELS`."""
        return model(model.init_state(x), x, capacities=capacities, **options)[1]


class SequenceForward(NamedTuple):
    """Sequences of frames.

    The model is any module with `init_state(x)` and `__call__(state, x, *, key, train)` for x
    [T, B, C], that returns its state and a `ClassifierOutput`. What else its call takes it is told:

        lengths     int [B], frames of each sample that are not padding
        axis_name   the mesh axis over which statistics of the batch are summed
        record      whether the activity of its layers is wanted
        discrete    whether learned delays are rounded: True in evaluation, unless `whole` is not

    Attributes:
      whole: round learned delays in evaluation, as hardware does.
    """

    whole: bool = True

    def inputs(self, points: Array, count: Array, capacities: Any) -> Array:
        """The frames, time first."""
        return jnp.swapaxes(points, 0, 1)

    def __call__(
        self,
        model: Any,
        x: Array,
        count: Array,
        capacities: Any,
        *,
        key: Array | None = None,
        train: bool = False,
        axis_name: str | None = None,
        record: bool = False,
    ) -> ClassifierOutput:
        """The output of the model."""
        discrete = self.whole and not train
        extra = accepted(
            model, lengths=count, axis_name=axis_name, record=record, discrete=discrete
        )
        return model(model.init_state(x), x, key=key, train=train, **extra)[1]


def to_voxels(points: Array, count: Array, extent: int, capacities: Capacities) -> SparseTensor:
    """The voxels of clouds in the cube [-1, 1]^3, on the device.

    Rows are those of the capacities, or, if samples are to be packed, one for each point.
    """
    return voxelize(
        points,
        count,
        extent=(extent, extent, extent),
        voxel_size=2.0 / extent,
        origin=(-1.0, -1.0, -1.0),
        capacity=capacities.rows[0] if capacities.samples == 1 else None,
    )


def accepted(model: Any, **options: Any) -> dict[str, Any]:
    """Those of the options that the call of the model takes."""
    known = inspect.signature(type(model).__call__).parameters
    if any(p.kind is p.VAR_KEYWORD for p in known.values()):
        return options
    return {name: value for name, value in options.items() if name in known}
