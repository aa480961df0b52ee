"""What a run needs below it, made from the configuration: journal, catalogue, sandbox, engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loguru import logger

from agent.engine.local import LocalEngine
from agent.errors import ConfigError
from sandbox.api import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.engine.protocol import Engine
    from agent.store.protocol import Store
    from sandbox.boxes import Boxes

JOURNAL = "journal.db"
SERVERS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The rooms that the orchestrator works with."""

    store: Store
    catalogue: Catalogue
    boxes: Boxes
    engine: Engine


def sandbox_policy(config: AppConfig) -> Policy:
    """Return how the owner wants sessions' boxes."""
    return Policy(
        plugin_folders=config.plugin_places,
        read_only=(*(place for place in config.skill_places if place.is_dir()), *config.server_folders),
        disk_mb=config.sandbox.disk_mb,
        idle_s=config.sandbox.idle_seconds,
        unsafe=config.sandbox.unsafe,
        allow_hosts=config.sandbox.allow_hosts,
        tool_hosts=config.sandbox.tool_hosts,
        private_hosts=config.sandbox.private_hosts,
        traffic_mb=config.sandbox.traffic_mb,
        first_user=config.sandbox.first_user,
        users=config.sandbox.users,
        sidecar=config.sandbox.sidecar,
    )


def journal_of(config: AppConfig) -> str | Path:
    """Return where the journal is: the path of its file, or the address of its database."""
    return config.store.get_secret_value() if config.store is not None else config.folder / JOURNAL


def load_catalogue(config: AppConfig, *, again: bool = False) -> Catalogue:
    """Return all tools: of plugins, and of MCP servers as the owner has accepted them.

    With `again` plugins that were broken before are tried anew, though they are unchanged.
    """
    from agent.catalogue import Catalogue
    from agent.mcp.plugins import mcp_plugins, remark

    catalogue = Catalogue.load(config, mcp_plugins(config), again=again)
    own = catalogue.remark
    catalogue.remark = lambda name: remark(config, name) or own(name)
    return catalogue


async def keep_servers(config: AppConfig, catalogue: Catalogue) -> None:
    """Have the catalogue's MCP servers be those that are configured and accepted now, until this is cancelled."""
    from agent.mcp.current import Current
    from agent.mcp.plugins import mcp_plugins, remark

    current, own = Current(config), catalogue.remark
    catalogue.remark = lambda name: remark(current.config, name) or own(name)
    while True:
        await asyncio.sleep(SERVERS_SECONDS)
        try:
            if current.changed():
                catalogue.exchange_servers(current.config, mcp_plugins(current.config, current.late))
        except Exception as error:  # the next change is looked at all the same
            logger.warning("the MCP servers stay as they were: {}", error)


def make_engine(config: AppConfig, *, works: bool = False, runs: int = 0) -> Engine:
    """Return the engine that the configuration names. Raises ConfigError when it can't be.

    With workers, this process works itself only if `works` says so, on so many `runs` at a time (0: as configured).
    """
    limits = config.limits
    total = runs or limits.runs_total
    if config.engine == "local":
        return LocalEngine(runs_total=total, runs_per_user=limits.runs_per_user, ageing_seconds=limits.ageing_seconds)
    if not str(journal_of(config)).startswith("postgres"):
        raise ConfigError(
            'engine is "workers", and the journal is a file: workers share it in PostgreSQL.',
            hint="Set store to postgresql://user:password@host/database (`dirigent migrate-store` fills it), "
            'or engine to "local".',
        )
    try:
        from agent.engine.distributed import DistributedEngine
    except ImportError:
        raise ConfigError(
            'engine is "workers", and what it needs is not installed.',
            hint="Install it with: pip install 'dirigent[postgres]'",
        ) from None
    return DistributedEngine(
        str(journal_of(config)),
        works=works,
        runs_total=total,
        runs_per_user=limits.runs_per_user,
        ageing_seconds=limits.ageing_seconds,
        drain_seconds=config.workers.drain_seconds,
        dead_seconds=config.workers.dead_seconds,
    )


def make_parts(
    config: AppConfig,
    *,
    store: Store | None = None,
    catalogue: Catalogue | None = None,
    boxes: Boxes | None = None,
    engine: Engine | None = None,
) -> Parts:
    """Make what was not given. Nothing is opened or started yet."""
    from agent.policy.egress import auditor
    from agent.store.sql import SqlStore
    from agent.watching import WatchedBoxes, counted

    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made before the first box is, so that it shows what is put there later; the home itself keeps others out.
    (config.folder / "skills").mkdir(mode=0o755, exist_ok=True)
    store = store or SqlStore(journal_of(config), copies=config.folder)
    return Parts(
        store,
        catalogue or load_catalogue(config),
        boxes or WatchedBoxes(replace(sandbox_policy(config), on_connection=counted(auditor(store)))),
        engine or make_engine(config),
    )
