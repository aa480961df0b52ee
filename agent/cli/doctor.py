"""`dirigent doctor`: is everything there that is needed, and what is to be done about it?"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Callable

    from agent.cli.checks import Finding
    from agent.config import AppConfig


def parser(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Declare the arguments."""
    made.add_argument("--json", action="store_true", help="one JSON array, for programs")
    made.epilog = "✓ good   ! works, with a limit   ✗ does not work\nExits with 1 when something does not work."
    return made


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 1 when something does not work."""
    return asyncio.run(_doctor(arguments))


async def _doctor(arguments: argparse.Namespace) -> int:
    from agent.cli.checks import check_python
    from agent.cli.opening import open_config

    config = open_config(arguments)
    found = [check_python()]
    if not arguments.json:
        print("\n".join(found[0].lines))
    async for finding in findings(config):
        found.append(finding)
        if not arguments.json:
            print("\n".join(finding.lines), flush=True)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in found], ensure_ascii=False, indent=1))
    return int(any(finding.state == "fail" for finding in found))


async def findings(config: AppConfig) -> AsyncIterator[Finding]:
    """Yield each check's result; a check that breaks is itself a finding and stops nothing."""
    from agent.cli import checks

    for name, check in (
        ("home", lambda: checks.check_home(config)),
        ("disk", lambda: checks.check_disk(config)),
        ("time", lambda: checks.check_time(config)),
        ("journal", lambda: checks.check_store(config)),
        ("workers", lambda: checks.check_workers(config)),
        ("sandbox", lambda: checks.check_sandbox(config)),
        ("files", checks.check_files),
        ("sessions", lambda: checks.check_sessions(config)),
        ("plugins", lambda: checks.check_plugins(config)),
        ("skills", lambda: checks.check_skills(config)),
        ("model", lambda: checks.check_model(config)),
        ("telegram", lambda: checks.check_telegram(config)),
    ):
        for finding in await _checked(name, check):
            yield finding


async def _checked(name: str, check: Callable[[], Any]) -> list[Finding]:
    from loguru import logger

    from agent.cli.checks import Finding
    from agent.errors import reference_id

    try:
        settled: Any = check()
        if asyncio.iscoroutine(settled):
            settled = await settled
    except Exception as error:
        reference = reference_id()
        logger.opt(exception=error).error("{} the check of {} broke", reference, name)
        said = str(getattr(error, "message", "")) or f"the check broke ({type(error).__name__}, {reference})"
        return [Finding(name, "fail", said, str(getattr(error, "hint", "")) or f"The log has {reference}.")]
    return settled if isinstance(settled, list) else [settled]
