"""Runs: `train` and `fit`, run folders and checkpoints, multiple hosts, use of trained runs."""

from snnjax.runs.compile_cache import kept_programs as kept_programs
from snnjax.runs.compile_cache import user_cache as user_cache
from snnjax.runs.errors import CheckpointError as CheckpointError
from snnjax.runs.errors import HostError as HostError
from snnjax.runs.errors import Interrupted as Interrupted
from snnjax.runs.errors import RunFolderError as RunFolderError
from snnjax.runs.fitting import Fit as Fit
from snnjax.runs.fitting import fit as fit
from snnjax.runs.folder import read_experiment as read_experiment
from snnjax.runs.folder import read_info as read_info
from snnjax.runs.hosts import is_first as is_first
from snnjax.runs.launch import Hosts as Hosts
from snnjax.runs.launch import start as start
from snnjax.runs.memory import keep_memory as keep_memory
from snnjax.runs.run import train as train
from snnjax.runs.use import RunRecord as RunRecord
from snnjax.runs.use import evaluate as evaluate
from snnjax.runs.use import load as load
from snnjax.runs.use import load_model as load_model
from snnjax.runs.use import predict as predict
from snnjax.runs.use import read_run as read_run
from snnjax.runs.use import restore as restore
