"""Asks the owner, once, for what a pipeline would change by itself: shown exactly as it will be checked."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from agent.cli.asking import YES
from agent.errors import DirigentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.pipelines import Ready
    from agent.store.protocol import Store


async def agree_beforehand(store: Store, given: Mapping[str, Any], by: str) -> bool:
    """Show what a yes allows, ask, and note it; True when it is agreed to (also from before). An answer is one line.

    Raises DirigentError when the pipeline says nothing under `consent:`.
    """
    from agent.automation.agreeing import what_it_says
    from agent.policy.grants import agree, agreed

    lines = what_it_says(given)
    if not lines:
        said = f"The pipeline {given['pipeline']} has nothing to agree to beforehand."
        raise DirigentError(said, hint="A step says under `consent:` which calls of it may be agreed to.")
    now = time.time()
    if await agreed(store, given, now) is not None:
        return True
    print("\n".join(lines), file=sys.stderr)
    print("Agree? [y/N] ", end="", file=sys.stderr, flush=True)
    answer = await asyncio.to_thread(sys.stdin.readline)
    if answer.strip().lower() not in YES:
        return False
    await agree(store, given, by, now)
    return True


async def agree_to_triggers(store: Store, ready: Ready, by: str) -> bool:
    """Ask for what the runs may change that a pipeline's own triggers start; True when there is nothing left to ask."""
    from agent.automation.agreeing import yet_to_agree

    for given in await yet_to_agree(store, ready, time.time()):
        if not await agree_beforehand(store, given, by):
            return False
    return True
