"""Scaling of the largest models to thousands of devices, by calculation.

    python -m experiments.scale compile --target cpu            fake devices, for the H100
    python -m experiments.scale compile --target tpu            needs libtpu, and no TPU
    python -m experiments.scale                                 tables, picture and conclusions

The first two compile the training step for 8 devices and more, each in a process of its own, and
keep its costs in `experiments/results/scale.json`; `--workloads` and `--devices` choose. The
last predicts from these records. See `docs/scale.md` for the assumptions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.scale.show import report
from experiments.scale.workloads import WORKLOADS
from experiments.variants import write_json
from snnjax.cli.shard_plan import with_fake_devices

RESULTS = Path(__file__).parents[1] / "results" / "scale.json"
NO_TPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
"""Lets libtpu compile where there is no TPU, several at a time."""
DEVICES = {"cpu": (8, 64, 512, 2048), "tpu": (8, 64, 512, 4096)}
"""Device counts for which a step is compiled; more than 2,048 fake ones need too many threads."""


def compile_in_process(workload: str, target: str, devices: int, sharding: str) -> dict[str, Any]:
    """The record of a step, compiled in a process with the devices that it needs.

    Raises:
      SystemExit: it does not compile; the message is the last line that the process wrote.
    """
    command = [sys.executable, "-m", "experiments.scale.step", workload, target]
    done = subprocess.run(
        [*command, str(devices), sharding],
        env={**with_fake_devices(devices if target == "cpu" else 1), **NO_TPU},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise SystemExit(f"{workload} on {devices} devices ({target}, {sharding}): {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def keep(path: Path, new: dict[str, Any]) -> None:
    """Add a record to the file, replacing one of the same program."""

    def key(record: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(record[name] for name in ("workload", "target", "sharding", "devices"))

    others = read(path) if path.is_file() else []
    records = [record for record in others if key(record) != key(new)]
    write_json(path, {"programs": sorted([*records, new], key=key)})


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file."""
    return json.loads(path.read_text())["programs"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compile and keep, or read and predict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="?", choices=["compile", "predict"], default="predict")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--target", choices=DEVICES, default="cpu", help="compilation target")
    parser.add_argument("--devices", nargs="+", type=int, help="how many; powers of two")
    parser.add_argument("--sharding", choices=["replicated", "fsdp"], default="replicated")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where records are kept")
    options = parser.parse_args(arguments)
    if options.work == "predict":
        report(read(options.results), options.results.with_suffix(".png"))
        return
    for workload in options.workloads:
        for devices in options.devices or DEVICES[options.target]:
            made = compile_in_process(workload, options.target, devices, options.sharding)
            keep(options.results, made)
            print(f"{workload} on {devices} devices ({options.target})", flush=True)


if __name__ == "__main__":
    main()
