"""`dirigent import`: an installation made of a file that `dirigent export` wrote."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EXAMPLES = """\
examples:
  dirigent import dirigent-20261121-0930.tar.gz --home /srv/dirigent

The home must be empty or not there yet. Everything is checked before it appears; an older journal is brought up to date
at the next start, after a backup.
"""


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("file", help="the file that `dirigent export` wrote")
    made.epilog = EXAMPLES
    return made


def run(arguments: argparse.Namespace) -> int:
    """Make the home."""
    from agent.archive import restore
    from agent.cli.exporting import tell

    home = Path(arguments.home or os.environ.get("DIRIGENT_HOME") or "~/.dirigent").expanduser().absolute()
    tell(restore(Path(arguments.file).expanduser(), home), f"Made: {home}")
    print("`dirigent doctor` says whether all works here. Where a storage keeps the sessions' files: migrate-sessions.")
    return 0
