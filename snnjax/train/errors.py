"""What can stop a run, each with its remedy in the message."""

from __future__ import annotations


class Diverged(FloatingPointError):
    """The loss, the gradient norm or the weights are no longer finite."""


class CheckpointError(OSError):
    """A checkpoint cannot be written or read."""


class RunFolderError(OSError):
    """A run folder cannot be used."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside after a checkpoint was saved.

    Attributes:
      run_folder: where to resume.
      step: the saved step.
      command: what to type to go on.
    """

    def __init__(self, run_folder: str, step: int, command: str):
        self.run_folder, self.step, self.command = run_folder, step, command
        super().__init__(f"stopped after step {step}, which is saved. Go on with: {command}")
