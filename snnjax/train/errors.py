"""What can stop a run, each with its remedy in the message."""

from __future__ import annotations

import signal


class Diverged(FloatingPointError):
    """The loss, the gradient norm or the weights are no longer finite."""


class CheckpointError(OSError):
    """A checkpoint cannot be written or read."""


class RunFolderError(OSError):
    """A run folder cannot be used."""


class HostError(OSError):
    """Another process of the run cannot be reached, failed, or is gone."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside after a checkpoint was saved.

    Attributes:
      run_folder: where to resume.
      step: the saved step.
      command: what to type to go on.
      code: what a command line exits with: 0 after SIGTERM, by which schedulers take a machine
        back, and 130 after Ctrl-C.
    """

    def __init__(self, run_folder: str, step: int, command: str, number: int = signal.SIGINT):
        self.run_folder, self.step, self.command = run_folder, step, command
        self.code = 0 if number == signal.SIGTERM else 128 + number
        super().__init__(f"stopped after step {step}, which is saved. Go on with: {command}")
