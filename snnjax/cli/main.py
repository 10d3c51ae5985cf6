"""Entry point of the ``snnjax`` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    raise NotImplementedError(sys.argv if argv is None else argv)
