"""Frames of several folders become one data set with disjoint splits."""

from __future__ import annotations

from experiments.kitti_frames import gather
from snnjax.data.lidar import LidarBoxSource
from tests.data.lidar.scenes import kitti


def test_complete_frames_are_gathered_once(tmp_path):
    first, second = kitti(tmp_path / "a", 5), kitti(tmp_path / "b", 9)
    (second / "training" / "label_2" / "000008.txt").unlink()  # incomplete
    folders = [first / "training", second / "training"]
    assert gather(folders, tmp_path / "all", every=4) == 8
    source = LidarBoxSource(str(tmp_path / "all"))
    names = {split: [f.path.stem for f in source.open(split).frames] for split in ("train", "test")}
    assert names["test"] == ["000003", "000007"]
    assert len(names["train"]) == 6
    assert not set(names["train"]) & set(names["test"])
