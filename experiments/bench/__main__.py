"""`python -m experiments.bench`: measure the rows and write their results."""

from __future__ import annotations

import contextlib
import importlib
import subprocess
import sys
from collections.abc import Iterator

import tyro

from experiments.bench.options import SHARED, Options, Row
from experiments.bench.peer import Peer, PeerError
from experiments.bench.results import summary, write_results
from snnjax.cli.cores import use_cores

_NO_PEER = """\
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
    """One row in a process of its own: how many devices a CPU has is fixed when JAX starts."""
    command = [sys.executable, "-m", "experiments.bench", *arguments, "--rows", row]
    return subprocess.run(command, check=False).returncode


def measure_row(options: Options, row: Row) -> None:
    """Measure one row; its file appears when it is whole."""
    if row in SHARED:
        use_cores(options.batch_size)
    module = importlib.import_module(f"experiments.bench.{row.replace('-', '_')}")
    with contextlib.ExitStack() as stack:
        more = (list(_peers(options, stack)),) if row.startswith("sparse-conv") else ()
        records = []
        for record in module.run(options, *more):
            print(summary(record), flush=True)
            records.append(record)
    print(write_results(options.results, row, records))


def _peers(options: Options, stack: contextlib.ExitStack) -> Iterator[Peer]:
    if options.spconv_python is None:
        print(_NO_PEER, file=sys.stderr)
        return
    for threads in options.peer_threads:
        yield stack.enter_context(Peer(options.spconv_python, threads=threads))


def _description() -> str:
    import experiments.bench

    return (experiments.bench.__doc__ or "").strip()


if __name__ == "__main__":
    sys.exit(main())
