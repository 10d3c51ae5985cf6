"""A small single-stage detector on a few real frames of KITTI: does it fit them, and others?

    python -m experiments.kitti_frames FOLDER [FOLDER ...] --steps 300

Every folder holds `velodyne`, `calib` and `label_2`. Every fourth frame is left out of the
training; the table has the precision of cars on the frames trained on, and on those left out. So
few frames say whether the detector can learn, and nothing about its accuracy on KITTI.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from flax import nnx

from snnjax.boxes import AnchorClass
from snnjax.data.lidar import LidarAugment, LidarBoxSource, LidarGrid
from snnjax.experiment import OptimiserConfig, ScheduleConfig
from snnjax.models import E3DSNNDetector, E3DSNNDetectorConfig
from snnjax.runs import fit
from snnjax.tasks import BoxPrecision, Detection

GRID = LidarGrid((0.0, -25.6, -3.0), (51.2, 25.6, 1.0), (0.1, 0.1, 0.1), (41, 512, 512))
PARTS = {"velodyne": ".bin", "calib": ".txt", "label_2": ".txt"}


def gather(folders: Sequence[Path], place: Path, every: int) -> int:
    """Link all complete frames into one data set with lists of its splits; their number."""
    names: list[str] = []
    for part in PARTS:
        (place / "training" / part).mkdir(parents=True)
    for folder in folders:
        for scan in sorted((folder / "velodyne").glob("*.bin")):
            files = {part: folder / part / f"{scan.stem}{PARTS[part]}" for part in PARTS}
            if scan.stem in names or not all(path.is_file() for path in files.values()):
                continue
            names.append(scan.stem)
            for part, path in files.items():
                (place / "training" / part / path.name).symlink_to(path.resolve())
    (place / "ImageSets").mkdir()
    held = names[every - 1 :: every]
    kept = [name for name in names if name not in held]
    (place / "ImageSets" / "train.txt").write_text("\n".join(kept))
    (place / "ImageSets" / "val.txt").write_text("\n".join(held))
    return len(names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print the precision on both splits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, help="folders of frames")
    parser.add_argument("--steps", type=int, default=300, help="updates, of four frames each")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and order")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        count = gather(options.folders, Path(place), every=4)
        source = LidarBoxSource(
            place,
            grid=GRID,
            voxels=24_576,
            augment=LidarAugment(10.0, 1.0, (0.95, 1.05), flip_y=0.5),
            feature_units=(20.0, 20.0, 1.0, 0.25),
        )
        config = E3DSNNDetectorConfig(
            16, (24, 32, 48), 1, in_channels=4, num_classes=1, column=48,
            bev_channels=(48, 64), bev_depth=1, bev_up=48, bn_decay=0.95,
        )  # fmt: skip
        task = Detection(  # anchors at the centres of cells of 0.8 m
            anchors=(AnchorClass((3.9, 1.6, 1.56), -1.78, 0.6, 0.45),),
            x_range=(0.4, 50.8),
            y_range=(-25.2, 25.2),
            top=512,
            keep=64,
        )
        found = fit(
            E3DSNNDetector(config, rngs=nnx.Rngs(options.seed)),
            source,
            task,
            steps=options.steps,
            batch_size=4,
            seed=options.seed,
            mesh="data=1",
            evaluate_every=10**6,
            optimiser=OptimiserConfig(
                name="adamw", learning_rate=6e-3, weight_decay=0.01, clip_norm=10.0
            ),
            schedule=ScheduleConfig(name="cosine", warmup=0.2),
        )
        print(f"{count} frames")
        print("| frames | counted cars | 3-D AP 0.7 | from above 0.7 | from above 0.5 |")
        print("|---|---|---|---|---|")
        for name, split in (("trained on", "train"), ("left out", "test")):
            n = BoxPrecision((0.7, 0.5)).run(found.trained, source.open(split))
            row = [n[f"car_{key}_moderate_r11"] for key in ("3d70", "bev70", "bev50")]
            cells = " | ".join(f"{value:.1f}" for value in row)
            print(f"| {name} | {n['car_moderate_objects']:.0f} | {cells} |")


if __name__ == "__main__":
    main()
