"""The facts about data that a model needs before it can be built."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Protocol, TypeVar

C = TypeVar("C")


class DataInfo(Protocol):
    """The facts that model configurations read; `snnjax.data.DataInfo` has them."""

    @property
    def in_channels(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...


def sizes_of(config: Any) -> tuple[int, int]:
    """The numbers of channels and classes of a configuration.

    Raises:
      ValueError: one of them is not set.
    """
    if config.in_channels is None or config.num_classes is None:
        raise ValueError(
            "the network needs in_channels and num_classes; set them in its configuration, or "
            "take them from data with config.build(info, rngs=rngs)."
        )
    return config.in_channels, config.num_classes


def filled(config: C, info: DataInfo) -> C:
    """A configuration that takes `in_channels` and `num_classes` from the data where it has None.

    Raises:
      ValueError: the configuration disagrees with the data.
    """
    known = {"in_channels": info.in_channels, "num_classes": len(info.class_names)}
    own: Any = {field.name: getattr(config, field.name) for field in fields(config)}  # type: ignore
    for name, value in known.items():
        if own[name] not in (None, value):
            raise ValueError(
                f"model.{name} must be {value}, as the data have; got {own[name]}. Leave it out."
            )
    return replace(config, **known)  # type: ignore[type-var]
