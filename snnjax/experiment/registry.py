"""Short names of models, sources, tasks and evaluators, for the command line.

The tables are lazy: name -> "module:object", imported when the name is used. The object is called
without arguments and gives a configuration.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

REGISTRY: dict[str, dict[str, str]] = {
    "model": {
        "e3dsnn_t": "snnjax.models.e3dsnn:E3DSNNConfig.t",
        "e3dsnn_s": "snnjax.models.e3dsnn:E3DSNNConfig.s",
        "e3dsnn_l": "snnjax.models.e3dsnn:E3DSNNConfig.l",
        "e3dsnn_h": "snnjax.models.e3dsnn:E3DSNNConfig.h",
        "e3dsnn_l_segmentation": "snnjax.models.e3dsnn_segmentation:E3DSNNSegmentationConfig.l",
        "e3dsnn_mini_segmentation": (
            "snnjax.models.e3dsnn_segmentation:E3DSNNSegmentationConfig.mini"
        ),
        "e3dsnn_kitti": "snnjax.models.e3dsnn_detection:E3DSNNDetectorConfig",
        "e3dsnn_nuscenes": "snnjax.models.e3dsnn_nuscenes:E3DSNNCentresConfig",
        "e3dsnn_s_segmentation": "snnjax.models.e3dsnn_segmentation:E3DSNNSegmentationConfig.s",
        "e3dsnn_t_segmentation": "snnjax.models.e3dsnn_segmentation:E3DSNNSegmentationConfig.t",
        "snn_delays": "snnjax.models.snn_delays:SNNDelaysConfig",
        "spiking_resnet18": "snnjax.models.conv_nets:SpikingResNetConfig.resnet18",
        "spiking_resnet34": "snnjax.models.conv_nets:SpikingResNetConfig.resnet34",
        "spiking_vgg": "snnjax.models.conv_nets:SpikingVGGConfig",
        "spiking_vgg11": "snnjax.models.conv_nets:SpikingVGGConfig.vgg11",
        "spiking_vgg16": "snnjax.models.conv_nets:SpikingVGGConfig.vgg16",
    },
    "source": {
        "clouds": "snnjax.data.clouds:CloudSource",
        "events": "snnjax.data.events:EventSource",
        "images": "snnjax.data.images:ImageSource",
        "lidar": "snnjax.data.lidar:LidarSource",
        "lidar_boxes": "snnjax.data.lidar:LidarBoxSource",
        "lidar_nuscenes": "snnjax.data.lidar:LidarSource.nuscenes",
        "lidar_packed": "snnjax.data.lidar:LidarSource.packed",
        "lidar_scene_boxes": "snnjax.data.lidar_scenes:SceneBoxes",
        "lidar_scenes": "snnjax.data.lidar_scenes:SceneVoxels",
        "lidar_semantic_kitti": "snnjax.data.lidar:LidarSource.semantic_kitti",
        "speech": "snnjax.data.speech:SpeechSource",
    },
    "task": {
        "centre_detection": "snnjax.tasks.centre_detection:CentreDetection",
        "classification": "snnjax.tasks.classification:Classification",
        "detection": "snnjax.tasks.detection:Detection",
        "regression": "snnjax.tasks.regression:Regression",
        "segmentation": "snnjax.tasks.segmentation:Segmentation",
    },
    "evaluator": {
        "continuous_delays": "snnjax.train.evaluators:ContinuousDelays",
        "box_precision": "snnjax.tasks.box_precision:BoxPrecision",
        "distance_precision": "snnjax.tasks.distance_precision:DistancePrecision",
        "rotations": "snnjax.tasks.rotations:Rotations",
        "votes": "snnjax.train.evaluators:Votes",
    },
}
"""The tables by kind; your own module may add entries to them."""


def make(kind: str, name: str) -> Any:
    """The configuration that a short name stands for.

    Raises:
      ValueError: no such kind or name; the nearest one is given.

    >>> make("task", "classification").goal
    'max accuracy'
    >>> make("model", "e3dsn_t")
    Traceback (most recent call last):
    ValueError: no model is called 'e3dsn_t'; did you mean 'e3dsnn_t'?
    """
    if kind not in REGISTRY:
        raise ValueError(f"there is no registry of kind {kind!r}; {_nearest(kind, REGISTRY)}")
    table = REGISTRY[kind]
    if name not in table:
        raise ValueError(f"no {kind} is called {name!r}; {_nearest(name, table)}")
    return load_object(table[name])()


def _nearest(name: str, table: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, table, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(table))}."


def load_object(target: str) -> Any:
    """Import the object of a table entry."""
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found
