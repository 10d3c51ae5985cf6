"""What one far point in each test cloud does to a trained classifier, and to one with a limit.

    python -m experiments.outliers runs/e3dsnn_t_shapes3d-0

The run must be of the embedded shapes. Each test cloud gets one point at 20 to 40 times the
radius of the shape. Clouds are scaled into the unit ball by their farthest point, so that the rest
falls into a few voxels, unless `data.outlier_limit` leaves the point out.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from snnjax.data.clouds import CloudSource
from snnjax.runs import evaluate

LIMIT = 10.0


def write_clouds(folder: Path, source: CloudSource, *, outlier: bool, size: int | None) -> None:
    """The test shapes as packed clouds, each with one more point far away if `outlier`."""
    test = source.open("test")
    count = len(test) if size is None else min(size, len(test))
    rng = np.random.default_rng(0)
    clouds, labels = [], []
    for i in range(count):
        sample = test.sample(i, None)
        cloud = np.asarray(sample["points"], np.float32)[:, :3]
        if outlier:
            direction = rng.normal(size=3)
            far = rng.uniform(20, 40) * direction / np.linalg.norm(direction)
            cloud = np.concatenate([cloud, far[None].astype(np.float32)])
        clouds.append(cloud)
        labels.append(int(sample["label"]))
    folder.mkdir(parents=True)
    for name in ("train", "test"):
        np.savez(
            folder / f"{name}.npz",
            points=np.concatenate(clouds),
            offset=np.cumsum([0, *map(len, clouds)]),
            label=np.array(labels),
            class_names=np.array(test.class_names),
        )


def compare(run: Path, size: int | None = None) -> dict[str, float]:
    """Accuracy on clean clouds, on those with an outlier, and on these with the limit."""
    config = json.loads((run / "config.json").read_text())
    with tempfile.TemporaryDirectory() as place:
        limited = Path(place) / "limited"
        shutil.copytree(run, limited)
        config["data"]["outlier_limit"] = LIMIT
        (limited / "config.json").write_text(json.dumps(config))
        for name, outlier in (("clean", False), ("outlier", True)):
            write_clouds(Path(place) / name, CloudSource(), outlier=outlier, size=size)
        found = {}
        for name, folder, data in (
            ("clean", run, "clean"),
            ("one outlier in each cloud", run, "outlier"),
            (f"the same, data.outlier_limit={LIMIT:g}", limited, "outlier"),
        ):
            found[name] = evaluate(folder, data=str(Path(place) / data))["test_accuracy"]
        return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_folder", type=Path, help="run of an experiment on shapes3d")
    parser.add_argument("--size", type=int, help="test clouds; all by default")
    options = parser.parse_args(arguments)
    for name, accuracy in compare(options.run_folder, options.size).items():
        print(f"{100 * accuracy:5.1f} %  {name}")


if __name__ == "__main__":
    main()
