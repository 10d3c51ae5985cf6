"""The command line: ``snnjax train|evaluate|predict|doctor|compare|profile|info``."""

from snnjax.cli.main import main as main
