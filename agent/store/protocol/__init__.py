"""The journal's protocol, by subject. One contract suite (`tests/agent/store/`) runs on every implementation.

Every method that changes something has committed when it returns. Many small changes that arrive together share one
commit (group commit). Reads see all changes that were requested before them.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from agent.store.protocol.automation import Events, Projects, Triggers
from agent.store.protocol.messages import Inbox, Outbox, Sessions
from agent.store.protocol.people import Answers, People
from agent.store.protocol.records import Audit, Money, Values
from agent.store.protocol.runs import Artifacts, Runs, Steps
from agent.store.protocol.versions import Versions


class Store(
    Sessions,
    Inbox,
    Outbox,
    Runs,
    Steps,
    Artifacts,
    Answers,
    People,
    Triggers,
    Events,
    Projects,
    Money,
    Audit,
    Values,
    Versions,
    Protocol,
):
    """The journal. Raises IllegalTransition, StaleLease or NotFound; nothing of a refused write is kept."""

    outbox_changed: asyncio.Event

    async def open(self) -> None:
        """Migrate (after a backup) and be ready."""

    async def close(self) -> None:
        """Finish what is queued and close."""
