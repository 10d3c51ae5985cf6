"""The peer's side: answers JSON lines on stdin with JSON lines on stdout.

    PYTHON -m experiments.bench.worker experiments.bench.spconv_engine

Runs in the peer's interpreter, so it imports nothing but NumPy and the engine named on the command
line, whose `Engine` has `library`, `version`, `load(**problem)` and `run(what) -> array or None`,
and sets `thread_safe` if results are correct with more than one thread.

    {"op": "describe"}                              -> {"library", "version", "thread_safe"}
    {"op": "load", "file": NPZ, "options": {...}}   -> {}      arrays and options by name
    {"op": "time", "what": "forward"}               -> {"ms": ...}
    {"op": "result", "what": "forward", "file": NPY} -> {}
    anything that fails                             -> {"error": ...}
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

import numpy as np


def answer(engine: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request."""
    op = request["op"]
    if op == "describe":
        return {name: getattr(engine, name) for name in ("library", "version", "thread_safe")}
    if op == "load":
        with np.load(request["file"], allow_pickle=False) as arrays:
            engine.load(**arrays, **request["options"])
        return {}
    if op == "time":
        began = time.perf_counter()
        engine.run(request["what"])
        return {"ms": 1e3 * (time.perf_counter() - began)}
    if op == "result":
        np.save(request["file"], engine.run(request["what"]), allow_pickle=False)
        return {}
    raise ValueError(f"unknown op {op!r}")


def main(module: str) -> None:
    """Serve until stdin ends."""
    # Output of the libraries must not mix with the answers.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    engine = importlib.import_module(module).Engine()
    for line in sys.stdin:
        try:
            reply = answer(engine, json.loads(line))
        except Exception as problem:  # noqa: BLE001  reported to the other side
            reply = {"error": f"{type(problem).__name__}: {problem}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1])
