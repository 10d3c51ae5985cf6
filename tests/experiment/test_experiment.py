from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from snnjax.data import SourceBase
from snnjax.data.clouds import Augment, CloudSource
from snnjax.data.speech import FrontEnd, SpeechAugment, SpeechSource
from snnjax.experiment import (
    Experiment,
    Group,
    OptimiserConfig,
    ScheduleConfig,
    differences,
    experiment_from_dict,
    experiment_to_dict,
    make,
)
from snnjax.models import E3DSNNConfig, SNNDelaysConfig
from snnjax.tasks import Classification, Regression, Task
from snnjax.train import ContinuousDelays, Votes
from tests.train.build import Made, any_experiment


def through_json(experiment: Experiment) -> Experiment:
    return experiment_from_dict(json.loads(json.dumps(experiment_to_dict(experiment))))


def test_an_experiment_survives_json() -> None:
    augment = Augment(rotate="so3", scale=(0.5, 1.0), flip=True)
    experiment = any_experiment(
        name="x",
        data=CloudSource(train_size=7, augment=augment),
        model=E3DSNNConfig.s(levels=2, twin=True),
        task=Classification(label_smoothing=0.1, class_weights=(1.0, 2.0), top_k=2, teacher="a/b"),
        optimiser=OptimiserConfig(name="sgd", nesterov=True),
        schedule=ScheduleConfig(name="step", boundaries=(0.25, 0.5)),
        epochs=None,
        steps=30,
        batch_size=8,
        seed=5,
        accumulate=4,
        precision="bfloat16",
        remat="layers",
    )
    assert through_json(experiment) == experiment


def test_an_experiment_on_speech_survives_json_with_its_types() -> None:
    experiment = any_experiment(
        data=SpeechSource(held_out="ann", front_end=FrontEnd("cochlea", channels=7)),
        model=SNNDelaysConfig(hidden=8, delays="fixed", per="input", sigma=0.2, readout="mean"),
        task=Regression("van_rossum", tau=3.0),
        evaluators=(ContinuousDelays(), Votes(3)),
        optimiser=OptimiserConfig(
            groups=(Group("delay", rate=100.0, schedule=ScheduleConfig(warmup=0.0)), Group("tau"))
        ),
    )
    values = experiment_to_dict(experiment)
    assert values["data"]["type"] == "snnjax.data.speech.source:SpeechSource"
    assert values["task"]["type"] == "snnjax.tasks.regression:Regression"
    assert [v["type"] for v in values["evaluators"]][1] == "snnjax.train.evaluators:Votes"
    assert through_json(experiment) == experiment
    lines = differences(any_experiment(), experiment)
    assert any(line.startswith("task.type: the run has") for line in lines)


def test_a_configuration_from_before_there_were_tasks_is_told() -> None:
    with pytest.raises(ValueError, match="by a version of snnjax that had no tasks"):
        experiment_from_dict({"kind": "clouds", "data": {}, "model": {}})


def stored(**changes: object) -> dict:
    return {**experiment_to_dict(any_experiment()), **changes}


def part(name: str, **changes: object) -> dict:
    return stored(**{name: {**experiment_to_dict(any_experiment())[name], **changes}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (stored(epoch=3), "unknown field 'epoch'; did you mean 'epochs'"),
        (stored(epochs="three"), "epochs must be NoneType or int; got 'three'"),
        (stored(data=3), "data must be an object of fields"),
        (stored(data={"points": 3}), r"data must have a 'type', as 'module:Class'"),
        (part("data", pints=3), "unknown field 'data.pints'; did you mean 'points'"),
        (part("data", train_size="all"), "data.train_size must be NoneType or int"),
        (part("model", levels=0), "levels must be an integer of at least 1; got 0"),
        (
            stored(optimiser={"groups": [{"pattern": "a", "rat": 3}]}),
            r"groups\[0\].rat'; did you mean 'rate",
        ),
        (part("task", type="snnjax.tasks.regression:Regresion"), "did you mean 'Regression'"),
        (part("task", type="snnjax.task:Regression"), "has no module 'snnjax.task'"),
        (part("task", type="snnjax.data.clouds:CloudSource"), "is not defined in"),
        (part("task", type="snnjax.data.clouds.source:CloudSource"), "unknown field|task needs"),
        (part("task", type="my_pkg.tasks:MyTask"), "--module my_pkg.tasks"),
        (part("task", type="subprocess:Popen"), "is not a dataclass"),
        (part("task", type="os:system"), "is not defined in os|is not a dataclass"),
        (part("task", type="os.path"), "named as 'module:Class'"),
        (part("task", type=["os"]), "named as 'module:Class'"),
        (part("model", type="snnjax.cli.commands:main"), "is not a dataclass"),
    ],
)
def test_a_wrong_field_is_named(values: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        experiment_from_dict(values)


@dataclasses.dataclass(frozen=True)
class Bare:
    """Neither a model nor a task."""


@dataclasses.dataclass(frozen=True)
class Unscored(Task):
    """A task without numbers."""

    goal = "max accuracy"

    def loss(self, out: Any, target: Any) -> Any:
        return out, out


@dataclasses.dataclass(frozen=True)
class Unopened(SourceBase):
    """A source without data."""


@dataclasses.dataclass(frozen=True)
class Silent:
    """A source without the methods that a run calls last."""

    open = collate = shapes = encode = None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: OptimiserConfig(name="lion"), "'adam' or 'sgd'; got 'lion'"),
        (lambda: OptimiserConfig(momentum_swing=0.2), r"momentum_swing must be in \[0.0, 0.09"),
        (lambda: OptimiserConfig("sgd", momentum_swing=0.05), "applies to adamw and adam"),
        (
            lambda: any_experiment(optimiser=OptimiserConfig(momentum_swing=0.05)),
            "follows a one_cycle; set schedule.name.*got 'cosine'",
        ),
        (lambda: ScheduleConfig(every="day"), "'step' or 'epoch'; got 'day'"),
        (lambda: OptimiserConfig(learning_rate=0.0), "learning_rate must be a positive number"),
        (lambda: OptimiserConfig(learning_rate=float("nan")), "positive number; got nan"),
        (lambda: ScheduleConfig(name="linear"), "'one_cycle'; got 'linear'"),
        (lambda: ScheduleConfig(boundaries=(0.8, 0.6)), "must rise strictly inside"),
        (lambda: ScheduleConfig(warmup=1.0), r"schedule.warmup must be in \[0.0, 1.0\)"),
        (lambda: any_experiment(ema=1.0), r"ema must be in \[0.0, 1.0\)"),
        (lambda: any_experiment(epochs=0), "epochs must be an integer of at least 1"),
        (lambda: any_experiment(batch_size=0), "batch_size must be an integer of at least 1"),
        (lambda: any_experiment(name="a/b"), "name must be a plain folder name"),
        (lambda: SNNDelaysConfig(late=-3), "late must be an integer of at least 0; got -3"),
        (lambda: SNNDelaysConfig(hidden=8.5), "hidden must be an integer"),  # pyright: ignore
        (lambda: E3DSNNConfig(levels=2.5), "levels must be an integer"),  # pyright: ignore
        (lambda: E3DSNNConfig(channels=(4, 2.5)), "channels must be int"),  # pyright: ignore
        (lambda: any_experiment(seed=-1), "seed must be in"),
        (lambda: any_experiment(mesh="date=2"), "axes of a mesh are data and model"),
        (lambda: any_experiment(sharding="fdsp"), "sharding must be one of replicated, fsdp"),
        (lambda: Group("(", rate=2.0), r"'\(' is not a valid regular expression"),
        (lambda: Group("delay", rate=0.0), "groups.rate must be a positive number"),
        (lambda: any_experiment(model=E3DSNNConfig), "got the class E3DSNNConfig"),
        (lambda: any_experiment(model=Bare()), "model needs `build`, which Bare does not define"),
        (lambda: any_experiment(task=Bare()), "task needs `goal`, `inputs`, `prepare`, `loss`"),
        (lambda: any_experiment(task=Bare()), r"`bind`.*subclass of snnjax\.tasks\.Task"),
        (
            lambda: any_experiment(task=Unscored()),
            "task needs `score`, `summarise`, which Unscored",
        ),
        (lambda: any_experiment(data=Unopened()), "data needs `open`, which Unopened"),
        (lambda: any_experiment(data=Silent()), "data needs `shapes_from_json`, `notices`, which"),
        (lambda: any_experiment(data="clouds"), "data must be an instance of .*; got str"),
        (lambda: any_experiment(evaluators=(Bare(),)), "evaluators needs `run`"),
        (
            lambda: SpeechSource(front_end=FrontEnd("mel_db"), augment=SpeechAugment(time_mask=3)),
            "zeros, which are not silence in dB",
        ),
    ],
)
def test_an_impossible_value_is_refused(build, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        build()


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("task", "clasification", "no task is called 'clasification'; did you mean 'classificat"),
        ("source", "event", "no source is called 'event'; did you mean 'events'"),
        ("evaluator", "x", "no evaluator is called 'x'; known are box_precision, continuous_"),
        ("tasks", "x", "there is no registry of kind 'tasks'; did you mean 'task'"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(kind: str, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(kind, name)


def test_what_cannot_be_stored_is_named() -> None:
    experiment = any_experiment(model=Made(lambda **_: None))
    with pytest.raises(ValueError, match="defined inside a function, where a stored run cannot"):
        experiment_to_dict(experiment)
    with pytest.raises(TypeError, match=r"model.make must be a number, text, .*; got object"):
        experiment_to_dict(any_experiment(model=Made(object())))


def test_a_function_comes_back_from_the_library_or_an_allowed_module_only() -> None:
    from snnjax.losses import softmax_sum

    experiment = any_experiment(model=Made(softmax_sum))
    values = json.loads(json.dumps(experiment_to_dict(experiment)))
    assert values["model"]["make"] == {"function": "snnjax.losses.membrane:softmax_sum"}
    assert experiment_from_dict(values) == experiment
    values["model"]["make"] = {"function": "shutil:rmtree"}
    with pytest.raises(ValueError, match="--module shutil"):
        experiment_from_dict(values)


def test_where_a_run_is_computed_is_no_difference() -> None:
    changed = any_experiment(mesh="data=2", sharding="fsdp", run_root="elsewhere")
    assert differences(any_experiment(), changed) == ()


def test_differences_name_every_field() -> None:
    old = any_experiment()
    new = dataclasses.replace(old, epochs=99, model=E3DSNNConfig.t(levels=2), batch_size=8)
    assert differences(old, old) == ()
    assert differences(old, new) == (
        "model.levels: the run has 4, now 2",
        "batch_size: the run has 32, now 8",
        "epochs: the run has 10, now 99",
    )
