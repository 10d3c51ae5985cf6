"""`python -m experiments.bench`: measure the rows and write their results."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys

import tyro

from experiments.bench.options import JAX_LIBRARIES, SHARED, Options, Row
from experiments.bench.peer import Peer, PeerError
from experiments.bench.results import summary, write_results
from snnjax.cli.cores import use_cores
from snnjax.runs.memory import ENVIRONMENT, keep_memory

_NO_SNN = """\
the PyTorch libraries are left out: there is no --snn-python. To measure them in the same rounds:
  python3.11 -m venv /tmp/snn-venv
  /tmp/snn-venv/bin/pip install torch spikingjelly==2.0.0 snntorch norse
  make bench ARGS="--snn-python /tmp/snn-venv/bin/python\""""

_NO_JAX_SNN = """\
the other JAX libraries are left out: there is no --jax-snn-python. To measure them too:
  python3.11 -m venv /tmp/jax-snn-venv
  /tmp/jax-snn-venv/bin/pip install spyx jaxpike
  make bench ARGS="--jax-snn-python /tmp/jax-snn-venv/bin/python\""""

_NO_DCLS = """\
DCLS is left out: there is no --dcls-python. To measure it in the same rounds:
  python3.11 -m venv /tmp/dcls-venv
  /tmp/dcls-venv/bin/pip install dcls==0.1.1 torch numpy
  make bench ARGS="--dcls-python /tmp/dcls-venv/bin/python"\
"""

_NO_SPCONV = """\
spconv is left out: there is no --spconv-python. To measure it in the same rounds:
  python3.11 -m venv /tmp/spconv-venv
  /tmp/spconv-venv/bin/pip install spconv==2.3.8 torch
  make bench ARGS="--spconv-python /tmp/spconv-venv/bin/python\""""


def main(arguments: list[str] | None = None) -> int:
    """Parse, measure, write; returns the exit status."""
    try:
        options = tyro.cli(Options, args=arguments, prog="make bench", description=_description())
        if len(options.rows) == 1:
            measure_row(options, options.rows[0])
            return 0
    except (ValueError, PeerError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    given = sys.argv[1:] if arguments is None else arguments
    return max(_apart(row, given) for row in options.rows)


def _apart(row: str, arguments: list[str]) -> int:
    """Measure a row in its own process: the number of CPU devices is fixed when JAX starts."""
    command = [sys.executable, "-m", "experiments.bench", *arguments, "--rows", row]
    return subprocess.run(command, check=False).returncode


def measure_row(options: Options, row: Row) -> None:
    """Measure one row; its file appears when it is complete."""
    if options.keep_memory != "none":
        keep_memory()
    if row in SHARED:
        use_cores(options.batch_size)
    module = importlib.import_module(f"experiments.bench.{row.replace('-', '_')}")
    with contextlib.ExitStack() as stack:
        more = _peers(options, row, stack)
        records = []
        for record in module.run(options, *more):
            print(summary(record), flush=True)
            records.append(record)
    print(write_results(options.results, row, records))


def _peers(options: Options, row: Row, stack: contextlib.ExitStack) -> tuple[list[Peer], ...]:
    """Start the peers of a row and yield them as its argument; nothing for rows without peers."""
    if row.startswith("sparse-conv"):
        wanted = [("spconv", count) for count in options.peer_threads]
        pythons, environment = {"spconv": options.spconv_python}, {}
        advice = {"spconv": _NO_SPCONV}
    elif row == "lidar-net":
        if options.spconv_python is None:
            print(_NO_SPCONV, file=sys.stderr)
        return ()  # it starts its own, one for each network
    elif row == "delays":
        wanted = [("dcls", os.cpu_count() or 1)]
        pythons, advice = {"dcls": options.dcls_python}, {"dcls": _NO_DCLS}
        environment = ENVIRONMENT if options.keep_memory == "all" else {}
    elif row in ("lif-layer", "lif-net", "conv-net"):
        engines = [e for e in options.snn_peers if row != "conv-net" or e not in JAX_LIBRARIES]
        wanted = [(engine, os.cpu_count() or 1) for engine in engines]
        on_jax = dict.fromkeys(JAX_LIBRARIES, options.jax_snn_python)
        pythons = {**dict.fromkeys(engines, options.snn_python), **on_jax}
        environment = ENVIRONMENT if options.keep_memory == "all" else {}
        advice = {e: _NO_JAX_SNN if e in JAX_LIBRARIES else _NO_SNN for e in engines}
    else:
        return ()
    missing = dict.fromkeys(advice[engine] for engine, _ in wanted if pythons[engine] is None)
    for text in missing:
        print(text, file=sys.stderr)
    peers = []
    for engine, count in wanted:
        python = pythons[engine]
        if python is not None:
            module = f"experiments.bench.{engine}_engine"
            peer = Peer(python, engine=module, threads=count, environment=environment)
            peers.append(stack.enter_context(peer))
    return (peers,)


def _description() -> str:
    import experiments.bench

    return (experiments.bench.__doc__ or "").strip()


if __name__ == "__main__":
    sys.exit(main())
