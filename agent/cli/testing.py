"""`dirigent test`: Dirigent's own tests, with as many processes as there are cores."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent.errors import DirigentError

if TYPE_CHECKING:
    import argparse

PASSES_ON = True
ROOT = Path(__file__).parents[2]


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare nothing: everything is passed on to pytest."""
    return made


def run(words: list[str]) -> int:
    """Become pytest in the source folder; `words` are its arguments. Raises DirigentError without the sources."""
    if not (ROOT / "tests").is_dir():
        raise DirigentError("The tests are not installed.", hint="Run this in a checkout of the sources.")
    if importlib.util.find_spec("pytest") is None:
        raise DirigentError("pytest is not installed.", hint="Use ./dirigent of a checkout, which installs it.")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *_processes(words), *words])  # noqa: S606 - becomes pytest


def _processes(words: list[str]) -> list[str]:
    """Use every core, unless pytest is told otherwise or a debugger needs the terminal."""
    told = any(word.startswith(("-n", "--numprocesses", "--pdb", "-s", "--collect-only", "--co")) for word in words)
    if told or importlib.util.find_spec("xdist") is None:
        return []
    # Long journeys would keep one process at work on what it was handed early, while the others have nothing to do.
    return ["-n", str(max(2, min(8, os.cpu_count() or 2))), "--dist", "worksteal"]
