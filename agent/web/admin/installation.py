"""The pages about the installation: sessions, plugins, budget, figures, the audit log."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.web import files
from agent.web.admin import charts
from agent.web.admin.rendering import page
from agent.web.rest.accounts import AUDIT_BATCH, DAYS, accounts_of, checked_chain, days_of
from agent.web.rest.sessions import row_of
from agent.web.rest.taking import Before, Called

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import APIRouter

    from agent.domain.audit import AuditEntry, Chain
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House


RUNS_SHOWN, HISTORY_SHOWN, AUDIT_SHOWN = 20, 30, 100
KINDS = ("approval", "network", "budget", "web link", "profile", "grant", "pipeline")


def add(made: APIRouter, house: House) -> None:
    """Add the routes."""
    _sessions(made, house)
    _figures(made, house)
    _audit(made, house)


def _sessions(made: APIRouter, house: House) -> None:
    rooms, store = house.rooms, house.rooms.store

    @made.get("/sessions")
    async def sessions(request: Request) -> Response:
        visit = await house.entry.visit(request)
        found = sorted(await store.sessions(), key=lambda one: -one["seen_at"])
        return await page(house, visit, "sessions.html", "sessions", sessions=found)

    @made.get("/sessions/{session_id}")
    async def session(request: Request, session_id: str) -> Response:
        visit = await house.entry.visit(request)
        row = await row_of(rooms, session_id)
        opened = await rooms.orchestrator.sessions.open(session_id)
        await rooms.orchestrator.sessions.fetch(opened)
        kept = await rooms.orchestrator.sessions.file_of(opened)
        history = [(task, one) for task, entries in kept.history.items() for one in entries]
        return await page(
            house,
            visit,
            "session.html",
            "sessions",
            session=row,
            profile=opened.profile,
            model=opened.model,
            entries=await rooms.memory(opened).entries(),
            runs=await store.recent_runs(session_id, RUNS_SHOWN),
            files=await files.listed(opened),
            history=sorted(history, key=lambda pair: pair[1].at, reverse=True)[:HISTORY_SHOWN],
        )

    @made.get("/sessions/{session_id}/files/{path:path}")
    async def file(request: Request, session_id: str, path: str) -> Response:
        await house.entry.visit(request)
        await row_of(rooms, session_id)
        return await files.download(rooms, session_id, path)

    @made.get("/plugins")
    async def plugins(request: Request) -> Response:
        visit = await house.entry.visit(request)
        seen = {plugin.name: plugin for plugin in (*house.catalogue.plugins, *house.catalogue.broken)}
        needs = {name: _missing(house, plugin.tools) for name, plugin in seen.items()}
        remarks = {name: house.catalogue.remark(name) for name in seen}
        found = sorted(
            seen.values(), key=lambda one: (not one.error, not (needs[one.name] or remarks[one.name]), one.name)
        )
        skills = house.rooms.orchestrator.skills
        usable, unusable = await asyncio.to_thread(lambda: (skills.usable(), skills.broken()))
        return await page(
            house,
            visit,
            "plugins.html",
            "plugins",
            plugins=found,
            needs=needs,
            remarks=remarks,
            skills=usable,
            unusable=unusable,
        )


def _missing(house: House, tools: object) -> list[str]:
    """Return the secrets that tools declare and nobody has set."""
    declared = {secret for tool in tools for secret in tool.secrets}  # type: ignore[attr-defined]
    return sorted(declared - set(house.config.secrets))


def _figures(made: APIRouter, house: House) -> None:
    rooms, store = house.rooms, house.rooms.store

    @made.get("/budget")
    async def budget(request: Request) -> Response:
        visit = await house.entry.visit(request)
        projects = [await store.project_status(one.name) for one in await store.projects()]
        accounts = [one for one in await accounts_of(rooms) if not one[0].startswith("project ")]
        return await page(house, visit, "budget.html", "budget", accounts=accounts, projects=projects)

    @made.get("/metrics")
    async def metrics(request: Request, days: Annotated[int, Query(ge=2, le=60)] = DAYS) -> Response:
        visit = await house.entry.visit(request)
        found = await days_of(rooms, days)
        return await page(
            house,
            visit,
            "metrics.html",
            "metrics",
            days=found,
            charts=charts.charts_of(found),
            backlog=await store.backlog(),
            automation=await rooms.automation.status(),
            rung=house.rung,
            boxes=house.boxes(),
        )


def _audit(made: APIRouter, house: House) -> None:
    @made.get("/audit")
    async def audit(request: Request, kind: Called = "", session: Called = "", before: Before = 0) -> Response:
        return await _entries(house, await house.entry.visit(request), kind=kind, session=session, before=before)

    @made.get("/audit/verify")
    async def verify(request: Request) -> Response:
        visit = await house.entry.visit(request)
        return await _entries(house, visit, checked=await checked_chain(house.rooms))

    @made.get("/audit/export")
    async def export(request: Request, kind: Called = "", session: Called = "") -> Response:
        await house.entry.visit(request)
        name = time.strftime("audit-%Y-%m-%d.jsonl")
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(_exported(house, kind, session), media_type="application/x-ndjson", headers=headers)


async def _entries(
    house: House, visit: Visit, *, kind: str = "", session: str = "", before: int = 0, checked: Chain | None = None
) -> Response:
    """Return the page of the audit log; `checked` is how far all of it is as it was written."""
    entries = await house.rooms.store.audit_entries(
        kind=kind or None, session_id=session or None, before=before, limit=AUDIT_SHOWN
    )
    shown: dict[str, Any] = {
        "entries": entries[::-1],
        "kind": kind,
        "session": session,
        "most": AUDIT_SHOWN,
        "kinds": sorted({entry.kind for entry in entries} | set(KINDS)),
    }
    return await page(house, visit, "audit.html", "audit", checked=checked, **shown)


async def _exported(house: House, kind: str, session: str) -> AsyncIterator[str]:
    """Yield the audit log as lines of JSON, oldest first, as `dirigent audit --json` prints it."""
    last = 0
    while batch := await house.rooms.store.audit_after(last, AUDIT_BATCH):
        last = batch[-1].id
        wanted = [one for one in batch if kind in {"", one.kind} and session in {"", one.session_id}]
        yield "".join(_line(entry) for entry in wanted)


def _line(entry: AuditEntry) -> str:
    fields = {"id": entry.id, "at": entry.at, "kind": entry.kind, "session": entry.session_id}
    return json.dumps({**fields, "detail": entry.facts, "seal": entry.seal}, ensure_ascii=False) + "\n"
