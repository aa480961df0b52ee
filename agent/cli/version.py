"""`dirigent version`."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from agent import __version__

if TYPE_CHECKING:
    import argparse


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    return made


def run(_arguments: argparse.Namespace) -> int:
    """Print version, interpreter and where Dirigent lies."""
    where = Path(__file__).parents[2]
    print(f"dirigent {__version__} · Python {platform.python_version()} · {where}")
    return 0
