"""Errors that stop a run or its use; each message has the remedy."""

from __future__ import annotations


class CheckpointError(OSError):
    """A checkpoint cannot be written or read."""


class RunFolderError(OSError):
    """A run folder cannot be used."""


class HostError(OSError):
    """Another process of the run cannot be reached, failed, or is gone."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal or its time limit, after a checkpoint was saved.

    Attributes:
      run_folder: the run to resume.
      step: the saved step.
      command: command that resumes the run.
      reason: "SIGINT", "SIGTERM" or "--max-hours".
      exit_code: exit code of the command: 130 after Ctrl-C; 0 if the stop was planned, so that
        a scheduler regards the job as successful.
    """

    def __init__(self, run_folder: str, step: int, command: str, reason: str = "SIGINT"):
        self.run_folder, self.step, self.command, self.reason = run_folder, step, command, reason
        self.exit_code = 130 if reason == "SIGINT" else 0
        super().__init__(f"stopped after step {step}, which is saved. Resume with: {command}")
