"""Our side of a peer: a worker in another interpreter, controlled by JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.bench.measure import Case

ROOT = Path(__file__).resolve().parents[2]


class PeerError(RuntimeError):
    """The worker did not start, has ended, or reported an error."""


class Peer:
    """A worker process; a context manager that ends it.

    Args:
      python: the peer's interpreter.
      engine: module of the engine, as `experiments.bench.worker` takes it.
      threads: number of threads, for OpenMP and the like.
      environment: additional environment variables.
    """

    def __init__(
        self,
        python: str | Path,
        *,
        engine: str = "experiments.bench.spconv_engine",
        threads: int = 1,
        environment: Mapping[str, str] | None = None,
    ):
        self.threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="snnjax-bench-")
        counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        self._process = subprocess.Popen(
            [str(python), "-m", "experiments.bench.worker", engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **dict.fromkeys(counts, str(threads)), **(environment or {})},
        )
        try:
            described = self._ask(op="describe")
        except BaseException:
            self.close()
            raise
        self.library: str = described["library"]
        self.version: str = described["version"]
        self.sound: bool = threads == 1 or described["thread_safe"]

    @property
    def label(self) -> str:
        """The name of the library, with its number of threads if above 1."""
        return self.library if self.threads == 1 else f"{self.library} ({self.threads} threads)"

    def load(self, options: Mapping[str, Any], **arrays: np.ndarray) -> None:
        """Send a problem: arrays and JSON-compatible options, by the engine's names."""
        path = Path(self._folder.name) / "problem.npz"
        np.savez(path, allow_pickle=False, **arrays)
        self._ask(op="load", file=str(path), options=dict(options))

    def time(self, what: str) -> float:
        """Milliseconds of the work, by the worker's own clock."""
        return float(self._ask(op="time", what=what)["ms"])

    def result(self, what: str) -> np.ndarray:
        """The result of the work."""
        path = Path(self._folder.name) / "result.npy"
        self._ask(op="result", what=what, file=str(path))
        return np.load(path, allow_pickle=False)

    def close(self) -> None:
        """End the worker and remove its files."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise PeerError("the worker has no pipes.")
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise PeerError(
                "the peer's worker ended without an answer; its own message stands above. Does "
                "its interpreter have the peer installed?"
            )
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(f"the peer's worker cannot {request['op']}: {reply['error']}")
        return reply


def training_peer(
    peer: Peer, options: Mapping[str, Any], shapes: Mapping[str, Any], **arrays: np.ndarray
) -> Case:
    """The peer's training step, with its loss before the first update."""
    what = "training step"
    peer.load(options, **arrays)
    facts = {"threads": peer.threads, "first_loss": round(float(peer.result(what)[0]), 6)}
    return Case(peer.label, peer.version, what, lambda: peer.time(what), shapes, facts)
