"""Trains the tiny run in children that die, one after the other, and tells what each left behind.

    python -m tests.faults.nursery FOLDER < moments.json

The children are forked before JAX starts its threads, so that a death costs no new interpreter.
`moments` is a list of names, or of numbers: the seeds of deaths at a random moment. One line of
JSON comes back for each.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from snnjax.runs import Interrupted, checkpoint, read_run, train
from snnjax.runs.checkpoint import Checkpoints
from snnjax.runs.writer import MetricsWriter
from tests.train.tiny import tiny_experiment

SLOW = 0.02
"""Seconds that a row takes where the death comes from outside, to leave time to aim."""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before_any_checkpoint(self: MetricsWriter, row: dict[str, Any], write: Any) -> None:
    write(self, row)
    if row["step"] == 2:
        self.flush()
        die()


def in_the_middle_of_a_row(self: MetricsWriter, row: dict[str, Any], write: Any) -> None:
    if row["step"] == 8:
        self.flush()
        self._file.write('{"split": "train", "st')
        self._file.flush()
        die()
    write(self, row)


def with_sigterm(self: MetricsWriter, row: dict[str, Any], write: Any) -> None:
    write(self, row)
    if row["step"] == 9:
        os.kill(os.getpid(), signal.SIGTERM)


def slowly(self: MetricsWriter, row: dict[str, Any], write: Any) -> None:
    write(self, row)
    self.flush()
    time.sleep(SLOW)


def patch(moment: str | int) -> None:
    """Arrange the death of this process."""
    rows = {
        "before any checkpoint": before_any_checkpoint,
        "in the middle of a row": in_the_middle_of_a_row,
        "SIGTERM": with_sigterm,
    }
    write, save, listing = MetricsWriter.write, Checkpoints.save, checkpoint.write_manifest
    change = rows.get(str(moment), slowly)
    MetricsWriter.write = lambda self, row: change(self, row, write)

    def saving(self: Checkpoints, step: int, *arguments: Any, **options: Any) -> None:
        save(self, step, *arguments, **options)
        if step == 6:
            die()

    def halfway(folder: Path) -> None:
        """All arrays are written, the checkpoint is not yet committed."""
        if folder.name.startswith("9."):
            die()
        listing(folder)

    if moment == "while a checkpoint is written":
        Checkpoints.save = saving
    if moment == "before a checkpoint is committed":
        checkpoint.write_manifest = halfway


def child(root: Path, moment: str | int, epochs: int) -> int:
    """Train, from the last checkpoint if there is a run."""
    patch(moment)
    try:
        resume = (root / "tiny-0").exists()
        train(tiny_experiment(root, epochs=epochs), resume=resume, progress=False)
    except Interrupted as stop:
        print(stop, file=sys.stderr, flush=True)
        return stop.exit_code
    return 0


def newest(folder: Path) -> int:
    """The last complete checkpoint, seen from outside; 0 for none."""
    names = [path.name for path in folder.glob("checkpoints/*") if path.name.isdigit()]
    return max(map(int, names), default=0)


def last_row(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
    return json.loads(whole.splitlines()[-1])["step"] if whole else 0


def identity(path: Path) -> int:
    """Changes when a file is replaced, as a resumed run does with its metrics."""
    return path.stat().st_ino if path.is_file() else 0


def aim(pid: int, folder: Path, seed: int, old: int) -> None:
    """Kill when the run has gone on by some steps and a bit; or while it starts."""
    rng = random.Random(seed)
    target, delay = newest(folder) + rng.randint(1, 4), rng.uniform(0.0, 3 * SLOW)
    if newest(folder) and rng.random() < 0.2:
        target, delay, old = 0, rng.uniform(0.0, 3.0), 0
    metrics = folder / "metrics.jsonl"
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        begun = identity(metrics) != old and newest(folder)
        if begun and last_row(folder) >= target:
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.002)


def one(root: Path, moment: str | int, epochs: int) -> dict[str, Any]:
    folder = root / "tiny-0"
    before, old = newest(folder), identity(folder / "metrics.jsonl")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = child(root, moment, epochs)
        finally:
            sys.stderr.flush()
            os._exit(code)
    if isinstance(moment, int):
        aim(pid, folder, moment, old)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return {
        "moment": moment,
        "code": code,
        "before": before,
        "after": newest(folder),
        "steps": [row["step"] for row in read_run(folder).metrics],
        "tail": (folder / "metrics.jsonl").read_text().rpartition("\n")[2],
    }


def main() -> None:
    root, order = Path(sys.argv[1]), json.load(sys.stdin)
    for moment in order["moments"]:
        print(json.dumps(one(root, moment, order["epochs"])), flush=True)


if __name__ == "__main__":
    main()
