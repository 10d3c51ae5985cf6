"""One tiny run, trained through the command line, that the tests of the other commands look at."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from snnjax.cli import main

TINY = '''"""A run of seconds, for tests."""

from snnjax.data.clouds import CloudSource
from snnjax.experiment import Experiment
from snnjax.models import E3DSNNConfig

experiment = Experiment(
    name="tiny",
    data=CloudSource(points=64, extent=16, train_size=16, test_size=12),
    model=E3DSNNConfig(stem=8, channels=(16, 32)),
    batch_size=8,
    epochs=1,
    mesh="data=1",
)
'''


class TinyRun(NamedTuple):
    folder: Path
    config: Path
    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("experiments") / "tiny_config.py"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_config, tmp_path_factory) -> TinyRun:
    """`snnjax train tiny_config.py --model.levels 2`, with what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        arguments = ["train", str(tiny_config), "--model.levels", "2", "--run-folder", str(folder)]
        code = main(arguments)
    return TinyRun(folder, tiny_config, code, out.getvalue(), err.getvalue())
