"""The pages that show runs and what waits; `automation.py` and `installation.py` show the rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from agent.domain.states import FINAL, Status
from agent.errors import NotFound
from agent.logs import lines_of
from agent.web import files
from agent.web.admin import automation, installation, live, views
from agent.web.admin.entry import NotIn
from agent.web.admin.rendering import page, static_file
from agent.web.rest.runs import run_called
from agent.web.rest.taking import Before, Called, Limit

if TYPE_CHECKING:
    from agent.web.admin.entry import Visit
    from agent.web.admin.house import House

RUNS_SHOWN = 50


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


def router(house: House) -> APIRouter:
    """Return the routes that show; each asks first who visits, which raises for who is not logged in."""
    made = APIRouter(prefix="/admin", include_in_schema=False)
    _overview(made, house)
    _runs(made, house)
    _streams(made, house)
    automation.add(made, house)
    installation.add(made, house)
    return made


def _overview(made: APIRouter, house: House) -> None:
    store = house.rooms.store

    @made.get("")
    async def overview(request: Request) -> Response:
        visit = await house.entry.visit(request)
        backlog = await store.backlog()
        return await page(
            house,
            visit,
            "overview.html",
            "overview",
            runs=await store.recent_runs(limit=8),
            unfinished=sum(backlog.runs.values()),
            automation=await house.rooms.automation.status(),
            backlog=backlog,
            day=await store.spent(since=time.time() - 86_400),
            rung=house.rung,
        )

    @made.get("/waiting")
    async def waiting(request: Request) -> Response:
        visit = await house.entry.visit(request)
        return await page(house, visit, "waiting.html", "waiting", groups=await views.all_groups(house.rooms))


def _runs(made: APIRouter, house: House) -> None:
    store = house.rooms.store

    @made.get("/runs")
    async def runs(
        request: Request, limit: Limit = RUNS_SHOWN, before: Before = 0, session: Called = "", status: Called = ""
    ) -> Response:
        visit = await house.entry.visit(request)
        state = status if status in {one.value for one in Status} else ""
        found = await store.recent_runs(session or None, limit, before=before, status=state)
        shown: dict[str, Any] = {"runs": found, "limit": limit, "before": before, "session": session, "chosen": state}
        return await page(house, visit, "runs.html", "runs", states=tuple(Status), **shown)

    @made.get("/runs/{ref}")
    async def run(request: Request, ref: str) -> Response:
        visit = await house.entry.visit(request)
        shown = await views.run_view(house.rooms, await run_called(house.rooms, ref))
        return await page(house, visit, "run.html", "runs", **shown)

    @made.get("/runs/{ref}/log")
    async def log(request: Request, ref: str) -> Response:
        visit = await house.entry.visit(request)
        found = await run_called(house.rooms, ref)
        lines = await asyncio.to_thread(lines_of, house.rooms.logs, found.corr_id) if found.corr_id else []
        return await page(house, visit, "log.html", "runs", run=found, lines=lines)

    @made.get("/runs/{ref}/files/{path:path}")
    async def file(request: Request, ref: str, path: str) -> Response:
        await house.entry.visit(request)
        found = await run_called(house.rooms, ref)
        if path not in {one.path for one in await store.artifacts_of(found.id)}:
            raise NotFound("The run has made no such file.")
        return await files.download(house.rooms, found.session_id, path)


def _streams(made: APIRouter, house: House) -> None:
    """Add what keeps pages up to date while they are looked at."""

    def streamed(request: Request, visit: Visit, look: live.Look) -> Response:
        async def gone() -> bool:
            if await request.is_disconnected():
                return True
            try:
                return (await house.entry.visit(request)).key != visit.key
            except NotIn:
                return True

        if not house.streams.may_begin(visit.key):  # with no content a browser does not come again
            return Response(status_code=204)
        return StreamingResponse(
            _counted(house, visit.key, live.follow(look, gone)),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    @made.get("/live")
    async def overview(request: Request) -> Response:
        visit = await house.entry.visit(request)

        async def look() -> tuple[dict[str, str], bool]:
            return await live.of_all(house, visit), False

        return streamed(request, visit, look)

    @made.get("/runs/{ref}/live")
    async def run(request: Request, ref: str) -> Response:
        visit = await house.entry.visit(request)
        found = await run_called(house.rooms, ref)

        async def look() -> tuple[dict[str, str], bool]:
            present = await house.rooms.store.get_run(found.id)
            return await live.of_run(house, visit, present), present.status in FINAL

        return streamed(request, visit, look)


async def _counted(house: House, key: str, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """Pass a stream on, while it counts as one of its reader's."""
    with house.streams.one(key):
        async for event in events:
            yield event
