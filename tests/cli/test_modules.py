"""Classes of a user's own file on the command line: used where asked for, never run unasked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snnjax.cli import main

MINE = '''"""A task, a model and data of my own."""

from dataclasses import dataclass

import numpy as np
from flax import nnx

from snnjax.data import SourceBase
from snnjax.data.memory import ArrayDataset
from snnjax.experiment import Experiment, OptimiserConfig
from snnjax.nn import Module
from snnjax.tasks import Classification


@dataclass(frozen=True)
class Halves(SourceBase):
    """Points left and right of 0."""

    width: int = 4

    def open(self, split):
        rng = np.random.default_rng(len(split))
        x = rng.normal(size=(32, self.width)).astype(np.float32)
        return ArrayDataset({"x": x, "label": (x[:, 0] > 0).astype(np.int32)}, ("left", "right"))

    def read(self, path):
        return {"x": np.loadtxt(path, dtype=np.float32)}


class Line(Module):
    def __init__(self, inputs, classes, rngs):
        self.layer = nnx.Linear(inputs, classes, rngs=rngs)

    def forward(self, run, x):
        return run(self.layer, x[None])[0]


@dataclass(frozen=True)
class LineConfig:
    def build(self, info, *, rngs):
        return Line(info.in_channels, len(info.class_names), rngs)


@dataclass(frozen=True)
class Mine(Classification):
    """Classification by another name."""


experiment = Experiment(
    name="mine", data=Halves(), model=LineConfig(), task=Mine(), batch_size=8, epochs=20,
    optimiser=OptimiserConfig(learning_rate=0.1), mesh="data=1",
)
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file and the folder of its run."""
    root = tmp_path_factory.mktemp("own")
    path = root / "own_classes.py"
    path.write_text(MINE)
    assert main(["train", str(path), "--data.width", "3", "--run-folder", str(root / "run")]) == 0
    return path, root / "run"


@pytest.fixture
def forgotten():
    """As in a new process, the file was not imported."""
    sys.modules.pop("own_classes", None)


def test_the_file_is_named_and_copied(trained):
    path, run = trained
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["type"] == "own_classes:Halves"
    assert config["data"]["width"] == 3
    assert config["task"]["type"] == "own_classes:Mine"
    assert (run / "code" / "own_classes.py").read_text() == path.read_text()


def test_a_run_folder_runs_no_code(trained, forgotten, capsys):
    """Its copy is there, and named by the error; nothing imports it without being asked."""
    _, run = trained
    (run / "code" / "own_classes.py").write_text(MINE + "\nraise SystemExit('it ran')\n")
    for command in (["evaluate", str(run)], ["train", "--resume", "--run-folder", str(run)]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert "'own_classes:Halves' is defined outside the library" in error
        assert "--module own_classes" in error
        assert str(run / "code" / "own_classes.py") in error
    assert "own_classes" not in sys.modules
    (run / "code" / "own_classes.py").write_text(MINE)


def test_with_the_module_it_is_evaluated_resumed_and_used(trained, forgotten, tmp_path, capsys):
    path, run = trained
    copy = str(run / "code" / "own_classes.py")
    summary = json.loads((run / "summary.json").read_text())
    assert main(["evaluate", str(run), "--module", copy]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["test_accuracy"] == summary["test_accuracy"]
    sys.modules.pop("own_classes")
    resume = ["--run-folder", str(run), "--resume", "--data.width", "3"]
    assert main(["train", str(path), *resume]) == 0
    (tmp_path / "point.txt").write_text("2.0 0.1 0.2")
    capsys.readouterr()
    assert main(["predict", str(run), str(tmp_path / "point.txt"), "--module", str(path)]) == 0
    assert capsys.readouterr().out.split()[1] == "right"


def test_an_experiment_with_a_teacher_is_inspected(trained, capsys):
    path, run = trained
    teacher = ["--data.width", "3", "--task.teacher", str(run)]
    for command in ("info", "shard-plan"):
        assert main([command, str(path), *teacher]) == 0, capsys.readouterr().err
        assert "layer" in capsys.readouterr().out


def test_a_file_with_the_name_of_a_module_is_refused(tmp_path, capsys):
    (tmp_path / "json.py").write_text(MINE)
    assert main(["train", str(tmp_path / "json.py")]) == 2
    assert "a module called 'json' is imported already. Rename" in capsys.readouterr().err
    assert main(["train", "--module", str(tmp_path / "none.py")]) == 2
    assert "there is no Python file" in capsys.readouterr().err
    assert main(["train", "--module", "no.such.module"]) == 2
    assert "there is no module 'no.such.module'" in capsys.readouterr().err


def test_a_file_may_import_files_beside_it(tmp_path, monkeypatch, capsys):
    """And a module of the current folder is found by its dotted name; installed ones come first."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("beside_parts", "beside_run", "beside_pkg", "beside_pkg.run"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "beside_parts.py").write_text(MINE)
    run = "from beside_parts import experiment"
    (tmp_path / "beside_run.py").write_text(run)
    (tmp_path / "beside_pkg").mkdir()
    (tmp_path / "beside_pkg" / "run.py").write_text(run)
    (tmp_path / "json.py").write_text("raise SystemExit('not the one that is installed')")
    size = ["--steps", "1", "--run-folder"]
    assert main(["train", str(tmp_path / "beside_run.py"), *size, str(tmp_path / "a")]) == 0
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["task"]["type"] == "beside_parts:Mine"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("beside_parts")
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "a", "--module", "beside_parts"]) == 0
    assert sys.path[-1] == str(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:-1])
    assert main(["info", "beside_pkg.run"]) == 0
    assert "layer" in capsys.readouterr().out


HELPER = """
from dataclasses import dataclass

from side_more import FACTOR

@dataclass(frozen=True)
class Aug:
    scale: float = FACTOR

def square(x):
    return x * x
"""

SPLIT = (
    MINE.replace(
        "from flax import nnx\n",
        """from flax import nnx
from collections.abc import Callable
from dataclasses import field
from typing import Any
from side_helper import Aug, square
""",
    )
    .replace(
        "    width: int = 4\n",
        """    width: int = 4
    aug: Any = field(default_factory=Aug)
    change: Callable = square
""",
    )
    .replace(".astype(np.float32)\n", ".astype(np.float32) * self.aug.scale\n", 1)
)


def test_what_a_file_imports_from_its_folder_belongs_to_the_run(tmp_path, monkeypatch, capsys):
    """It is copied, and allowed, files beside it that were loaded otherwise are not."""
    names = ("side_run", "side_helper", "side_more", "side_other")
    texts = (SPLIT, HELPER, "FACTOR = 2.0\n", "def wipe(x):\n    raise SystemExit('it ran')\n")

    def forget():
        monkeypatch.setattr(sys, "path", [p for p in sys.path if str(tmp_path) not in p])
        for name in names:
            monkeypatch.delitem(sys.modules, name, raising=False)

    forget()
    for name, text in zip(names, texts, strict=True):
        (tmp_path / f"{name}.py").write_text(text)
    path, run = str(tmp_path / "side_run.py"), tmp_path / "run"
    options = ["--steps", "1", "--run-folder", str(run)]
    assert main(["train", path, *options]) == 0
    copies = {file.name for file in (run / "code").iterdir()}
    assert copies == {"side_run.py", "side_helper.py", "side_more.py"}
    assert main(["train", path, *options, "--resume"]) == 0
    forget()
    for name in names:
        (tmp_path / f"{name}.py").unlink()
    capsys.readouterr()
    assert main(["evaluate", str(run), "--module", str(run / "code" / "side_run.py")]) == 0
    assert "test_accuracy" in json.loads(capsys.readouterr().out)
    (run / "code" / "side_other.py").write_text(texts[3])
    __import__("side_other")
    config = json.loads((run / "config.json").read_text())
    config["data"]["change"] = {"function": "side_other:wipe"}
    (run / "config.json").write_text(json.dumps(config))
    assert main(["evaluate", str(run)]) == 2
    assert "'side_other:wipe' is defined outside the library" in capsys.readouterr().err


def test_a_run_of_a_script_is_used_from_the_command_line(tmp_path, monkeypatch, capsys):
    """Its classes have the name of the file, whether it runs or is imported."""
    start = MINE.replace("import numpy", "import sys\n\nimport numpy", 1).replace(
        "epochs=20", "steps=1"
    )
    call = f"train(experiment, run_folder={str(tmp_path / 'run')!r}, resume='resume' in sys.argv)"
    path = tmp_path / "my-script.py"
    path.write_text(
        f"{start}\nif __name__ == '__main__':\n    from snnjax.runs import train\n\n    {call}\n"
    )
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "JAX_PLATFORMS": "cpu"}
    for words in ([], ["resume"]):
        subprocess.run([sys.executable, str(path), *words], check=True, env=environment)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["task"]["type"] == "my-script:Mine"
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my-script", raising=False)
    copy = str(tmp_path / "run" / "code" / "my-script.py")
    assert main(["evaluate", str(tmp_path / "run"), "--module", copy]) == 0
    assert "test_accuracy" in json.loads(capsys.readouterr().out)
    del sys.modules["my-script"]
