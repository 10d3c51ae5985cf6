"""What a model is trained for: targets, losses, scores. One file per task."""

from snnjax.tasks.box_precision import BoxPrecision as BoxPrecision
from snnjax.tasks.centre_detection import CentreDetection as CentreDetection
from snnjax.tasks.classification import Classification as Classification
from snnjax.tasks.detection import Detection as Detection
from snnjax.tasks.distance_precision import DistancePrecision as DistancePrecision
from snnjax.tasks.regression import Regression as Regression
from snnjax.tasks.rotations import Rotations as Rotations
from snnjax.tasks.segmentation import Segmentation as Segmentation
from snnjax.tasks.task import Goal as Goal
from snnjax.tasks.task import Task as Task
from snnjax.tasks.task import goal_of as goal_of
