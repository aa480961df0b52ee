"""What a person reads when something failed: a sentence and the way on, never a traceback."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def tell(error: Exception) -> int:
    """Print the error and return the exit code; what was not expected goes into the log under a reference id."""
    from agent.errors import DirigentError
    from plugins.api import PluginError
    from sandbox.api import SandboxError

    if isinstance(error, DirigentError):
        say(error.message, error.hint)
    elif isinstance(error, SandboxError):
        say(error.message, error.remedy)
    elif isinstance(error, PluginError):
        say(str(error))
    else:
        _tell_unexpected(error)
    return 1


def say(message: str, hint: str = "") -> None:
    """Print an error and its hint on standard error, without secrets."""
    from agent.logs import redact

    lines = [f"dirigent: {message}", *([f"  → {hint}"] if hint else [])]
    print(redact("\n".join(lines)), file=sys.stderr)


def _tell_unexpected(error: Exception) -> None:
    from loguru import logger

    from agent.errors import reference_id

    reference = reference_id()
    where = _log_file()
    with logger.contextualize(corr=reference):
        logger.opt(exception=error).error("unexpected: {}", type(error).__name__)
    say(
        f"Something went wrong that was not expected: {type(error).__name__} ({reference}).",
        f"The details are in {where}; look for {reference}." if where else "",
    )


def _log_file() -> Path | None:
    """Return the log file, set up now if the command had not come to that yet."""
    from agent import logs

    if logs.current is not None:
        return logs.current
    home = Path(os.environ.get("DIRIGENT_HOME") or "~/.dirigent").expanduser()
    try:
        return logs.set_up_logs(home / "logs")
    except OSError:
        return None
