"""What can stop a run or its use, each with its remedy in the message."""

from __future__ import annotations


class CheckpointError(OSError):
    """A checkpoint cannot be written or read."""


class RunFolderError(OSError):
    """A run folder cannot be used."""


class HostError(OSError):
    """Another process of the run cannot be reached, failed, or is gone."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside, or by its limit of time, after a checkpoint was saved.

    Attributes:
      run_folder: where to resume.
      step: the saved step.
      command: what to type to go on.
      reason: "SIGINT", "SIGTERM" or "--max-hours".
      exit_code: of the command: 130 after Ctrl-C; 0 where the end was foreseen, so that a
        scheduler takes the job as done well.
    """

    def __init__(self, run_folder: str, step: int, command: str, reason: str = "SIGINT"):
        self.run_folder, self.step, self.command, self.reason = run_folder, step, command, reason
        self.exit_code = 130 if reason == "SIGINT" else 0
        super().__init__(f"stopped after step {step}, which is saved. Go on with: {command}")
