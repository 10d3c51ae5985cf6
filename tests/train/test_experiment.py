from __future__ import annotations

import dataclasses
import json

import pytest

from snnjax.data import Augment
from snnjax.data.speech import FrontEnd, SpeechAugment
from snnjax.train import (
    DataConfig,
    Experiment,
    Group,
    ModelConfig,
    OptimiserConfig,
    ScheduleConfig,
    SequenceConfig,
    SpeechConfig,
    experiment_from_dict,
    experiment_to_dict,
)
from snnjax.train.experiment import differences


def test_an_experiment_survives_json() -> None:
    experiment = Experiment(
        name="x",
        data=DataConfig(train_size=7, augment=Augment(rotate="so3", scale=(0.5, 1.0), flip=True)),
        model=ModelConfig(levels=2, twin=True),
        optimiser=OptimiserConfig(name="sgd", nesterov=True),
        schedule=ScheduleConfig(name="step", boundaries=(0.25, 0.5)),
        seed=5,
        accumulate=4,
        precision="bfloat16",
        remat="layers",
    )
    text = json.dumps(experiment_to_dict(experiment))
    assert experiment_from_dict(json.loads(text)) == experiment


def test_an_experiment_on_speech_survives_json_with_its_kind() -> None:
    experiment = Experiment(
        data=SpeechConfig(held_out="ann", front_end=FrontEnd("cochlea", channels=7)),
        model=SequenceConfig(hidden=8, delays="fixed", per="input", sigma=0.2, readout="mean"),
        optimiser=OptimiserConfig(
            groups=(Group("delay", rate=100.0, schedule=ScheduleConfig(warmup=0.0)), Group("tau"))
        ),
    )
    values = json.loads(json.dumps(experiment_to_dict(experiment)))
    assert values["kind"] == "sequences"
    assert experiment_from_dict(values) == experiment
    assert "kind: the run has 'clouds', now 'sequences'" in differences(Experiment(), experiment)


def test_a_configuration_from_before_there_were_kinds_is_of_clouds() -> None:
    values = experiment_to_dict(Experiment(seed=4))
    del values["kind"]
    assert experiment_from_dict(values) == Experiment(seed=4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "pictures"}, "kind must be 'clouds' or 'sequences'; got 'pictures'"),
        ({"kind": "sequences", "data": {"points": 3}}, "unknown field 'data.points'"),
        (
            {"optimiser": {"groups": [{"pattern": "a", "rat": 3}]}},
            "groups.rat'; did you mean 'rate",
        ),
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
        ({"data": {"batchsize": 3}}, "unknown field 'data.batchsize'; did you mean 'batch_size'"),
        ({"epochs": "three"}, "epochs must be int; got 'three'"),
        ({"data": 3}, "data must be an object of fields"),
        ({"model": {"levels": 0}}, "model.levels must be an integer of at least 1; got 0"),
        ({"model": {"steps": 0}}, "model.steps must be an integer of at least 1; got 0"),
        ({"data": {"train_size": "all"}}, "data.train_size must be NoneType or int"),
    ],
)
def test_a_wrong_field_is_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        experiment_from_dict(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OptimiserConfig(name="lion"), "'adam' or 'sgd'; got 'lion'"),  # pyright: ignore
        (lambda: OptimiserConfig(momentum_swing=0.2), r"momentum_swing must be in \[0.0, 0.09"),
        (lambda: OptimiserConfig("sgd", momentum_swing=0.05), "is of adamw and adam"),
        (
            lambda: Experiment(optimiser=OptimiserConfig(momentum_swing=0.05)),
            "follows a one_cycle; set schedule.name.*got 'cosine'",
        ),
        (lambda: ScheduleConfig(every="day"), "'step' or 'epoch'; got 'day'"),  # pyright: ignore
        (lambda: OptimiserConfig(learning_rate=0.0), "learning_rate must be a positive number"),
        (lambda: OptimiserConfig(learning_rate=float("nan")), "positive number; got nan"),
        (lambda: ScheduleConfig(name="linear"), "'one_cycle'; got 'linear'"),  # pyright: ignore
        (lambda: ScheduleConfig(boundaries=(0.8, 0.6)), "must rise strictly inside"),
        (lambda: ScheduleConfig(warmup=1.0), r"schedule.warmup must be in \[0.0, 1.0\)"),
        (lambda: Experiment(ema=1.0), r"ema must be in \[0.0, 1.0\)"),
        (lambda: Experiment(label_smoothing=-0.1), "label_smoothing must be in"),
        (lambda: Experiment(epochs=0), "epochs must be an integer of at least 1"),
        (lambda: Experiment(name="a/b"), "name must be a plain folder name"),
        (lambda: Experiment(seed=-1), "seed must be in"),
        (lambda: Group("(", rate=2.0), r"'\(' is no regular expression"),
        (lambda: Group("delay", rate=0.0), "groups.rate must be a positive number"),
        (lambda: ModelConfig(bn_eps=0.0), "model.bn_eps must be a positive number; got 0.0"),
        (lambda: SpeechConfig(steps=0), "data.steps must be an integer of at least 1"),
        (lambda: SequenceConfig(layers=0), "model.layers must be an integer of at least 1"),
        (lambda: SequenceConfig(readout="sum"), "'mean'; got 'sum'"),  # pyright: ignore
        (lambda: SequenceConfig(delays="no"), "'learned'; got 'no'"),  # pyright: ignore
        (lambda: SequenceConfig(per="axon"), "'output'; got 'axon'"),  # pyright: ignore
        (lambda: SequenceConfig(per="input"), "needs delays, one each: set model.delays"),
        (lambda: SequenceConfig(sigma=-0.1), r"model.sigma must be in \[0.0, inf\)"),
        (lambda: Experiment(mesh="date=2"), "axes of a mesh are data and model"),
        (lambda: Experiment(sharding="fdsp"), "sharding must be one of replicated, fsdp"),  # pyright: ignore
        (
            lambda: SequenceConfig(kernel_count=2),
            "kernel_count must be 1 where there are no delays",
        ),
        (
            lambda: SpeechConfig(front_end=FrontEnd("mel_db"), augment=SpeechAugment(time_mask=3)),
            "zeros, which are no silence in dB",
        ),
        (lambda: DataConfig(batch_size=0), "data.batch_size must be an integer of at least 1"),
    ],
)
def test_an_impossible_value_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("devices", "mesh"), [(None, "data=-1"), (4, "data=4")])
def test_a_run_of_before_there_were_meshes_is_read(devices: int | None, mesh: str) -> None:
    values = experiment_to_dict(Experiment())
    del values["mesh"], values["sharding"]
    found = experiment_from_dict({**values, "devices": devices})
    assert found == Experiment(mesh=mesh)


def test_where_a_run_is_computed_is_no_difference() -> None:
    assert differences(Experiment(), Experiment(mesh="data=2", sharding="fsdp")) == ()


def test_differences_name_every_field_but_the_root() -> None:
    old = Experiment()
    new = dataclasses.replace(
        old, epochs=99, run_root="elsewhere", model=ModelConfig(levels=2, name="e3dsnn_s")
    )
    assert differences(old, old) == ()
    assert differences(old, new) == (
        "model.name: the run has 'e3dsnn_t', now 'e3dsnn_s'",
        "model.levels: the run has 4, now 2",
        "epochs: the run has 10, now 99",
    )
