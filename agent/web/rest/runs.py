"""Runs over the API: begun, listed, looked at, stopped, done again; their files and what the log says of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import StreamingResponse

from agent.domain.run import Origin
from agent.domain.states import FINAL, Status
from agent.errors import NotFound
from agent.logs import lines_of
from agent.web import files, orders, shapes
from agent.web.opening import label, open_pipeline, open_request, opened_once, same_inputs
from agent.web.rest.taking import BODY, Before, Called, Key, Limit, read, refusing, taking
from agent.web.words import Changed

if TYPE_CHECKING:
    from agent.domain.run import Run
    from agent.web.rooms import Rooms

Session = Annotated[Called, Query(description="Only those of this session.")]
FILE = {200: {"content": {"application/octet-stream": {}}, "description": "The file, to be kept."}, **refusing(404)}


def add(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    """Add the routes; `trusted` counts what is sent as the owner's own words."""
    _looked_at(made, rooms)
    _begun(made, rooms, trusted=trusted)
    _ended(made, rooms)


async def run_called(rooms: Rooms, ref: str) -> Run:
    """Return the run with a short id. Raises NotFound."""
    found = await rooms.store.find_run(ref)
    if found is None:
        raise NotFound("There is no such run.", hint="GET /api/runs lists the newest.")
    return found


async def again(rooms: Rooms, run: Run) -> Run:
    """Go on with a run that did not succeed, or do one that did once more; return the new one. Raises Changed."""
    if run.status not in FINAL:
        raise Changed("It has not ended yet.", hint="Stop it first, or wait.")
    if run.status is Status.COMPLETED:
        return await rooms.orchestrator.do_again(run)
    opened = await rooms.orchestrator.go_on(run)
    if opened is None:
        raise Changed("Another run goes on with it already.")
    return opened


def _looked_at(made: APIRouter, rooms: Rooms) -> None:
    store = rooms.store

    @made.get("/runs", responses=refusing(422))
    async def runs(
        limit: Limit = 20, before: Before = 0, status: Status | SkipJsonSchema[None] = None, session: Session = ""
    ) -> list[shapes.RunShort]:
        """Runs, newest first."""
        found = await store.recent_runs(session or None, limit, before=before, status=status or "")
        return [shapes.RunShort.of(run) for run in found]

    @made.get("/runs/{ref}", responses=refusing(404))
    async def run(ref: str) -> shapes.RunShape:
        """A run with its steps: their input, output, cost and where it comes from."""
        found = await run_called(rooms, ref)
        spent = await store.spent(run_id=found.id)
        return shapes.RunShape.whole(found, await store.get_steps(found.id), spent["money"])

    @made.get("/runs/{ref}/log", responses=refusing(404))
    async def log(ref: str) -> shapes.LogShape:
        """What this machine's log says of a run, oldest first."""
        found = await run_called(rooms, ref)
        lines = await asyncio.to_thread(lines_of, rooms.logs, found.corr_id) if found.corr_id else []
        return shapes.LogShape(lines=lines)

    @made.get("/runs/{ref}/files/{path:path}", response_class=StreamingResponse, responses=FILE)
    async def file(ref: str, path: str) -> StreamingResponse:
        """A file that a run has made, as it is now."""
        found = await run_called(rooms, ref)
        if path not in {one.path for one in await store.artifacts_of(found.id)}:
            raise NotFound("The run has made no such file.")
        return await files.download(rooms, found.session_id, path)


def _begun(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.post(
        "/runs",
        status_code=202,
        openapi_extra=taking(orders.Request),
        responses={
            200: {"model": shapes.Opened, "description": "It was opened before with this key."},
            **BODY,
            **refusing(409),
        },
    )
    async def ask(request: Request, response: Response, key: Key = None) -> shapes.Opened:
        """Have a request in words carried out. With the same Idempotency-Key again, it is the same run (200)."""
        asked = (await read(request, orders.Request)).request

        async def make(ref: str) -> Run:
            return await open_request(rooms, asked, provenance=label(trusted=trusted), ref=ref)

        async def same(known: Run) -> bool:
            return known.request == asked

        run, known = await opened_once(rooms, "\0request", key, make, same)
        response.status_code = 200 if known else 202
        return shapes.Opened(ref=run.ref, status=run.status.value, known=known)

    @made.post(
        "/pipelines/{name}/run",
        status_code=202,
        openapi_extra=taking(orders.Order, needed=False),
        responses={
            200: {"model": shapes.Opened, "description": "It was opened before with this key."},
            **BODY,
            **refusing(404, 409),
        },
    )
    async def run_pipeline(name: str, request: Request, response: Response, key: Key = None) -> shapes.Opened:
        """Run a pipeline (or a chain, by name or id). With the same Idempotency-Key again, it is the same run (200)."""
        inputs = (await read(request, orders.Order, needed=False)).inputs

        async def make(ref: str) -> Run:
            provenance = label(trusted=trusted)
            return await open_pipeline(rooms, name, inputs, origin=Origin.API, provenance=provenance, ref=ref)

        async def same(known: Run) -> bool:
            return await same_inputs(rooms, known, name, inputs)

        run, known = await opened_once(rooms, name, key, make, same)
        response.status_code = 200 if known else 202
        return shapes.Opened(ref=run.ref, status=run.status.value, known=known)


def _ended(made: APIRouter, rooms: Rooms) -> None:
    @made.post("/runs/{ref}/stop", responses=refusing(404, 409))
    async def stop(ref: str) -> shapes.Said:
        """Stop a run at once; nothing that it has made is lost."""
        run = await run_called(rooms, ref)
        if run.status in FINAL:
            raise Changed("It has ended already.")
        return shapes.Said(said=await rooms.orchestrator.stop_run(run))

    @made.post("/runs/{ref}/retry", status_code=202, responses=refusing(400, 404, 409))
    async def retry(ref: str) -> shapes.Opened:
        """Go on with a run that failed or was stopped (what is finished is kept), or do one that succeeded again."""
        opened = await again(rooms, await run_called(rooms, ref))
        return shapes.Opened(ref=opened.ref, status=opened.status.value)
