"""Experiments: the settings of a training run, their JSON form, and names of their parts."""

from snnjax.experiment.experiment import Experiment as Experiment
from snnjax.experiment.modules import allow_module as allow_module
from snnjax.experiment.modules import class_name as class_name
from snnjax.experiment.modules import load_module as load_module
from snnjax.experiment.record import differences as differences
from snnjax.experiment.record import experiment_from_dict as experiment_from_dict
from snnjax.experiment.record import experiment_to_dict as experiment_to_dict
from snnjax.experiment.registry import REGISTRY as REGISTRY
from snnjax.experiment.registry import make as make
from snnjax.experiment.settings import Group as Group
from snnjax.experiment.settings import OptimiserConfig as OptimiserConfig
from snnjax.experiment.settings import ScheduleConfig as ScheduleConfig
