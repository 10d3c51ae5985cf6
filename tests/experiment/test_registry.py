"""Every name of the tables stands for something that can be made."""

from __future__ import annotations

import dataclasses

import pytest

from snnjax.experiment.registry import REGISTRY, make

NAMES = [(kind, name) for kind, table in REGISTRY.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_name_makes_a_configuration(kind: str, name: str) -> None:
    assert dataclasses.is_dataclass(make(kind, name))


def test_unknown_names_give_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no model is called .* did you mean .spiking_vgg"):
        make("model", "spiking_vg")
    with pytest.raises(ValueError, match="no registry of kind 'models'; did you mean 'model'"):
        make("models", "e3dsnn_t")
