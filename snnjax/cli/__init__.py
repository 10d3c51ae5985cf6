"""The command line: ``snnjax train|evaluate|predict|list|doctor|...``."""

from snnjax.cli.commands import main as main
