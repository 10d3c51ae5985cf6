"""Tiny scans, labels, calibrations and folders, written the way the data sets have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CALIB = """P0: 700 0 600 0 0 700 180 0 0 0 1 0
P2: 700 0 600 40 0 700 180 -0.3 0 0 1 0.005
R0_rect: 1 0 0 0 1 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0.01 0 0 -1 -0.06 1 0 0 -0.3
"""
CAR = "Car 0.00 0 0.10 300.00 100.00 500.00 200.00 1.50 1.60 3.90 2.00 1.70 15.00 -1.40"
VAN = "Van 0.40 1 0.10 300.00 100.00 500.00 130.00 2.00 1.80 4.50 -4.00 1.70 25.00 1.60"
NOTHING = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


def scan(seed: int = 0, count: int = 300) -> np.ndarray:
    """Points ahead of the sensor, float32 [count, 4]."""
    rng = np.random.default_rng(seed)
    low, high = (2, -8, -1.8, 0), (30, 8, 0.5, 1)
    return rng.uniform(low, high, (count, 4)).astype(np.float32)


def write_scan(path: Path, points: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    points.astype("<f4").tofile(path)
    return path


def raw_labels(seed: int, count: int) -> np.ndarray:
    """Classes of SemanticKITTI and instances, uint32 [count]."""
    rng = np.random.default_rng(seed)
    kind = rng.choice([0, 10, 40, 48, 50, 70, 252], count).astype("<u4")
    return kind | rng.integers(0, 5, count).astype("<u4") << 16


def semantic_kitti(root: Path, sequences=("00", "08"), scans: int = 3, count: int = 300) -> Path:
    """A data set of some sequences."""
    for name in sequences:
        for i in range(scans):
            folder = root / "sequences" / name
            write_scan(folder / "velodyne" / f"{i:06}.bin", scan(i + int(name) * 100, count))
            (folder / "labels").mkdir(exist_ok=True)
            raw_labels(i, count).tofile(folder / "labels" / f"{i:06}.label")
    return root


def kitti(root: Path, frames: int = 4, labels=(f"{CAR}\n{VAN}\n{NOTHING}\n",)) -> Path:
    """A data set of some frames, the last of which is the test split."""
    names = [f"{i:06}" for i in range(frames)]
    for folder in ("calib", "label_2"):
        (root / "training" / folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        write_scan(root / "training" / "velodyne" / f"{name}.bin", scan(i, 2000))
        (root / "training" / "calib" / f"{name}.txt").write_text(CALIB)
        (root / "training" / "label_2" / f"{name}.txt").write_text(labels[i % len(labels)])
    (root / "ImageSets").mkdir(exist_ok=True)
    (root / "ImageSets" / "train.txt").write_text("\n".join(names[:-1]))
    (root / "ImageSets" / "val.txt").write_text(names[-1])
    return root
