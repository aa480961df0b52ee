"""The pages that show; what changes something is in `changes.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from agent.domain.audit import Chain
from agent.errors import NotFound
from agent.web.admin import live, views
from agent.web.admin.rendering import page, static_file

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

Limit = Annotated[int, Query(ge=1, le=200)]
Letting = Callable[[Request], Awaitable["Visit"]]
RUNS_SHOWN = 30
FIRES_SHOWN = 5
AUDIT_BATCH = 1_000


def open_router(house: House) -> APIRouter:
    """Return the routes that anybody may see: the way in, and the style."""
    made = APIRouter()

    @made.get("/", include_in_schema=False)
    async def root() -> Response:
        return RedirectResponse("/admin", 303)

    @made.get("/admin/login", include_in_schema=False)
    async def login(code: Annotated[str, Query(max_length=100)] = "") -> Response:
        return await page(house, None, "login.html", "", code=code, error="", with_password=house.entry.has_password)

    @made.get("/admin/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        found = static_file(name)
        if found is None:
            return Response("There is no such file.", 404)
        return Response(found[0], media_type=found[1], headers={"Cache-Control": "public, max-age=604800"})

    @made.get("/favicon.ico", include_in_schema=False)
    async def no_icon() -> Response:
        return Response(status_code=204)

    return made


def router(house: House, let_in: Letting) -> APIRouter:
    """Return the routes that show; each calls `let_in` first, which raises for who is not logged in."""
    made = APIRouter(prefix="/admin", include_in_schema=False)
    _runs(made, house, let_in)
    _automation(made, house, let_in)
    _installation(made, house, let_in)
    return made


def _runs(made: APIRouter, house: House, let_in: Letting) -> None:
    store = house.rooms.store

    @made.get("")
    async def overview(request: Request) -> Response:
        visit = await let_in(request)
        day = await store.spent(since=time.time() - 86_400)
        return await page(
            house,
            visit,
            "overview.html",
            "overview",
            runs=await store.recent_runs(limit=8),
            unfinished=await store.unfinished_runs(),
            automation=await house.rooms.automation.status(),
            backlog=await store.backlog(),
            day=day,
            rung=house.rung,
        )

    @made.get("/waiting")
    async def waiting(request: Request) -> Response:
        visit = await let_in(request)
        return await page(house, visit, "waiting.html", "waiting", waits=await views.all_that_waits(store))

    @made.get("/runs")
    async def runs(request: Request, limit: Limit = RUNS_SHOWN, session: str = "") -> Response:
        visit = await let_in(request)
        found = await store.recent_runs(session or None, limit)
        return await page(house, visit, "runs.html", "runs", runs=found, limit=limit, session=session)

    @made.get("/runs/{ref}")
    async def run(request: Request, ref: str) -> Response:
        visit = await let_in(request)
        shown = await views.run_view(store, await run_called(house, ref))
        return await page(house, visit, "run.html", "runs", **shown)

    @made.get("/runs/{ref}/live")
    async def stream(request: Request, ref: str) -> Response:
        visit = await let_in(request)
        found = await run_called(house, ref)
        return StreamingResponse(
            live.follow(house, visit, found.id, request.is_disconnected), media_type="text/event-stream"
        )


async def run_called(house: House, ref: str) -> Run:
    """Return the run with a short id. Raises NotFound."""
    found = await house.rooms.store.find_run(ref)
    if found is None:
        raise NotFound(f"There is no run {ref!r}.", hint="The list has the newest.")
    return found


def _automation(made: APIRouter, house: House, let_in: Letting) -> None:
    store, rooms = house.rooms.store, house.rooms

    @made.get("/triggers")
    async def triggers(request: Request) -> Response:
        visit = await let_in(request)
        found = await store.triggers()
        return await page(
            house,
            visit,
            "triggers.html",
            "triggers",
            triggers=found,
            chains=[(one, await rooms.chains.history(one.id, FIRES_SHOWN)) for one in await rooms.chains.list()],
            automation=await rooms.automation.status(),
            pipelines=await asyncio.to_thread(rooms.pipelines.names),
            projects=[await store.project_status(one.name) for one in await store.projects()],
        )

    @made.get("/triggers/{trigger_id}")
    async def trigger(request: Request, trigger_id: str) -> Response:
        visit = await let_in(request)
        found = await store.get_trigger(trigger_id)
        if found is None:
            raise NotFound(f"There is no trigger {trigger_id!r}.", hint="The list has all of them.")
        fires = await store.fires_of(trigger_id)
        refs = {fire.run_id: (await store.get_run(fire.run_id)).ref for fire in fires if fire.run_id}
        return await page(house, visit, "trigger.html", "triggers", trigger=found, fires=fires, refs=refs)

    @made.get("/pipelines")
    async def pipelines(request: Request) -> Response:
        visit = await let_in(request)
        found = await asyncio.to_thread(_pipelines, house)
        outcomes = {name: await store.outcomes(f"pipeline:{name}") for name, _, _ in found}
        return await page(house, visit, "pipelines.html", "pipelines", pipelines=found, outcomes=outcomes)

    @made.get("/pipelines/{name}")
    async def pipeline(request: Request, name: str) -> Response:
        visit = await let_in(request)
        return await page(
            house, visit, "pipeline.html", "pipelines", **await asyncio.to_thread(pipeline_view, house, name)
        )

    @made.get("/events")
    async def events(
        request: Request, status: Literal["", "new", "handled", "dead"] = "", limit: Limit = 50
    ) -> Response:
        visit = await let_in(request)
        found = await store.newest_events(limit, status=status)
        return await page(house, visit, "events.html", "events", events=found, chosen=status)


def _pipelines(house: House) -> list[tuple[str, str, str]]:
    pipelines = house.rooms.pipelines
    return [(name, place.plugin, pipelines.described(name)) for name, place in pipelines.places().items()]


def pipeline_view(house: House, name: str, text: str | None = None, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the page of a pipeline shows: `text` is what was typed, None for what the file says."""
    from agent.web.admin.editing import looked_at

    place = house.rooms.pipelines.places().get(name)
    if place is None and text is None:
        raise NotFound(f"There is no pipeline {name!r}.", hint="The list has all of them.")
    written = text if text is not None else place.file.read_text(encoding="utf-8") if place else ""
    found, preview, ready = looked_at(house, name, written)
    return {
        "name": name,
        "text": written,
        "plugin": place.plugin if place else "",
        "problems": [*problems, *found],
        "preview": preview,
        "inputs": ready.pipeline.inputs if ready else {},
    }


def _installation(made: APIRouter, house: House, let_in: Letting) -> None:
    store = house.rooms.store

    @made.get("/sessions")
    async def sessions(request: Request) -> Response:
        visit = await let_in(request)
        return await page(house, visit, "sessions.html", "sessions", sessions=await store.sessions())

    @made.get("/sessions/{session_id}")
    async def session(request: Request, session_id: str) -> Response:
        visit = await let_in(request)
        found = await session_called(house, session_id)
        entries = await house.memory(str(found["folder"])).entries()
        runs = await store.recent_runs(session_id, RUNS_SHOWN)
        return await page(house, visit, "session.html", "sessions", session=found, entries=entries, runs=runs)

    @made.get("/plugins")
    async def plugins(request: Request) -> Response:
        visit = await let_in(request)
        found = [*house.catalogue.plugins, *house.catalogue.broken]
        seen = {plugin.name: plugin for plugin in found}
        return await page(
            house, visit, "plugins.html", "plugins", plugins=sorted(seen.values(), key=lambda one: one.name)
        )

    @made.get("/budget")
    async def budget(request: Request) -> Response:
        visit = await let_in(request)
        accounts = await _accounts(house)
        projects = [await store.project_status(one.name) for one in await store.projects()]
        return await page(house, visit, "budget.html", "budget", accounts=accounts, projects=projects)

    @made.get("/audit")
    async def audit(request: Request, kind: str = "", limit: Limit = 100) -> Response:
        visit = await let_in(request)
        entries = await store.audit_entries(kind=kind or None, limit=limit)
        return await page(
            house, visit, "audit.html", "audit", entries=entries[::-1], kind=kind, checked=None, limit=limit
        )

    @made.get("/audit/verify")
    async def verify(request: Request) -> Response:
        visit = await let_in(request)
        chain = Chain()
        while True:
            batch = await store.audit_after(chain.last_id, AUDIT_BATCH)
            if not batch or not chain.take(batch):
                break
        entries = await store.audit_entries(limit=100)
        return await page(house, visit, "audit.html", "audit", entries=entries[::-1], kind="", checked=chain, limit=100)


async def session_called(house: House, session_id: str) -> dict[str, Any]:
    """Return a session's row. Raises NotFound."""
    found = next((one for one in await house.rooms.store.sessions() if one["id"] == session_id), None)
    if found is None:
        raise NotFound(f"There is no session {session_id!r}.", hint="The list has all of them.")
    return found


async def _accounts(house: House) -> list[tuple[str, Any, float]]:
    """Return (name, balance, cap) of the accounts that all share."""
    limits, store = house.config.limits, house.rooms.store
    day = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    return [
        ("today", await store.balance(f"day:{day}"), limits.money_per_day),
        ("this month", await store.balance(f"month:{day[:7]}"), limits.money_per_month),
    ]


def folder_of(house: House) -> Path:
    """Return where the home's pipelines lie."""
    return Path(house.rooms.pipelines.folder)
