"""The command line: `counterfactory COMMAND`."""

from counterfactory.cli.app import main

__all__ = ["main"]
