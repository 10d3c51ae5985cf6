"""The command line: ``snnjax train|evaluate|predict|doctor|compare|profile|info``."""

from snnjax.cli.commands import main as main
