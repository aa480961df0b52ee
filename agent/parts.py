"""What a run needs below it, made from the configuration: journal, catalogue, sandbox, engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.engine.local import LocalEngine
from sandbox.api import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from agent.catalogue import Catalogue
    from agent.config import AppConfig
    from agent.engine.protocol import Engine
    from agent.store.protocol import Store
    from sandbox.boxes import Boxes

JOURNAL = "journal.db"


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


def load_catalogue(config: AppConfig) -> Catalogue:
    """Return all tools: of plugins, and of MCP servers as the owner has accepted them."""
    from functools import partial

    from agent.catalogue import Catalogue
    from agent.mcp.plugins import mcp_plugins, remark

    catalogue = Catalogue.load(config, mcp_plugins(config))
    catalogue.remark = partial(remark, config)
    return catalogue


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
    from sandbox.boxes import Boxes

    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    limits = config.limits
    store = store or SqlStore(journal_of(config))
    return Parts(
        store,
        catalogue or load_catalogue(config),
        boxes or Boxes(replace(sandbox_policy(config), on_connection=auditor(store))),
        engine
        or LocalEngine(
            runs_total=limits.runs_total, runs_per_user=limits.runs_per_user, ageing_seconds=limits.ageing_seconds
        ),
    )
