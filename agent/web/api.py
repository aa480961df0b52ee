"""The REST API under `/api`: what runs by itself, started and stopped; runs, and pipelines to run. All by token."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import ValidationError

from agent.domain.provenance import Provenance
from agent.domain.run import Origin
from agent.errors import DirigentError, NotFound, PlanError
from agent.web import shapes
from agent.web.guard import body_of
from agent.web.tokens import check_token

if TYPE_CHECKING:
    from agent.domain.chain import Chain, ChainHistory
    from agent.domain.messages import Destination
    from agent.domain.run import Run
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines, Ready
    from agent.store.protocol import Store

Limit = Annotated[int, Query(ge=1, le=200)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
FROM_OUTSIDE = Provenance.of("api", trusted=False)
ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": shapes.Problem, "description": about}
    for status, about in ((401, "no token, or a wrong one"), (403, "no token is set"), (404, "there is none"))
}
BODY = {
    "requestBody": {
        "content": {"application/json": {"schema": shapes.Order.model_json_schema()}},
        "description": "The pipeline's inputs.",
    }
}


class Switch(Protocol):
    """Stops and starts what runs by itself."""

    async def halt(self) -> None: ...
    async def release(self) -> None: ...


class Automation(Protocol):
    """What runs by itself."""

    @property
    def switch(self) -> Switch: ...
    async def status(self) -> dict[str, Any]: ...


class ChainBook(Protocol):
    """The chains and how they have gone."""

    async def list(self) -> list[Chain]: ...
    async def history(self, name: str, limit: int = 20) -> ChainHistory: ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the API shows and starts. `destination` says where runs report that are opened here."""

    store: Store
    pipelines: Pipelines
    orchestrator: OrchestratorRunner
    automation: Automation
    chains: ChainBook
    destination: Callable[[], Awaitable[Destination]]
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class Reused(DirigentError):
    """An idempotency key came again with other inputs."""


def router(rooms: Rooms, token: str) -> APIRouter:
    """Return the routes. Every one asks for the token first; with an empty `token` they are off and say so."""

    async def keeper(request: Request) -> None:  # a coroutine: others would be called in a thread
        check_token(request, token)

    made = APIRouter(prefix="/api", dependencies=[Depends(keeper)], responses=ANSWERS)
    _automation(made, rooms)
    _lists(made, rooms)
    _runs(made, rooms)

    @made.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> dict[str, Any]:
        described: dict[str, Any] = request.app.openapi()
        return described

    return made


def _automation(made: APIRouter, rooms: Rooms) -> None:
    async def status() -> shapes.AutomationStatus:
        return shapes.AutomationStatus.model_validate(await rooms.automation.status())

    @made.get("/automation/status")
    async def automation_status() -> shapes.AutomationStatus:
        """Whether triggers fire, how many there are, and when the next one does."""
        return await status()

    @made.post("/automation/start")
    async def automation_start() -> shapes.AutomationStatus:
        """Have triggers fire again. What came meanwhile is handled; for missed times each misfire policy counts."""
        await rooms.automation.switch.release()
        return await status()

    @made.post("/automation/stop")
    async def automation_stop() -> shapes.AutomationStatus:
        """Have nothing fire until it is started, also after a restart. Events are kept; runs under way go on."""
        await rooms.automation.switch.halt()
        return await status()


def _lists(made: APIRouter, rooms: Rooms) -> None:
    @made.get("/pipelines")
    async def pipelines() -> list[shapes.PipelineShape]:
        """All pipelines, by name."""
        return await asyncio.to_thread(_described, rooms.pipelines)

    @made.get("/chains")
    async def chains() -> list[shapes.ChainShape]:
        """All chains with their newest executions."""
        return [shapes.ChainShape.of(one, await rooms.chains.history(one.id, 5)) for one in await rooms.chains.list()]

    @made.get("/triggers")
    async def triggers() -> list[shapes.TriggerShape]:
        """All triggers, oldest first."""
        return [shapes.TriggerShape.of(trigger) for trigger in await rooms.store.triggers()]

    @made.get("/events")
    async def events(
        status: Literal["new", "handled", "dead"] | None = None, limit: Limit = 20
    ) -> list[shapes.EventShape]:
        """Events, newest first."""
        return [shapes.EventShape.of(event) for event in await rooms.store.newest_events(limit, status=status or "")]


def _described(pipelines: Pipelines) -> list[shapes.PipelineShape]:
    return [
        shapes.PipelineShape(name=name, plugin=place.plugin, about=pipelines.described(name))
        for name, place in pipelines.places().items()
    ]


def _runs(made: APIRouter, rooms: Rooms) -> None:
    @made.get("/runs")
    async def runs(limit: Limit = 20) -> list[shapes.RunShort]:
        """Runs, newest first."""
        return [shapes.RunShort.of(run) for run in await rooms.store.recent_runs(limit=limit)]

    @made.get("/runs/{ref}")
    async def run(ref: str) -> shapes.RunShape:
        """A run with its steps."""
        found = await rooms.store.find_run(ref)
        if found is None:
            raise NotFound("There is no such run.", hint="GET /api/runs lists the newest.")
        spent = await rooms.store.spent(run_id=found.id)
        return shapes.RunShape.whole(found, await rooms.store.get_steps(found.id), spent["money"])

    @made.post("/pipelines/{name}/run", status_code=202, openapi_extra=BODY)
    async def run_pipeline(name: str, request: Request, response: Response, key: Key = None) -> shapes.Opened:
        """Run a pipeline (or a chain, by name or id). With the same Idempotency-Key again, it is the same run (200)."""
        try:
            order = shapes.Order.model_validate_json(await body_of(request) or b"{}")
        except ValidationError as error:
            said = [f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors()]
            raise PlanError(said, hint='Send {"inputs": {…}}.') from None
        async with rooms.opening:
            opened = await _opened(rooms, name, order.inputs, key)
        response.status_code = 200 if opened.known else 202
        return opened


async def _opened(rooms: Rooms, name: str, inputs: dict[str, Any], key: str | None) -> shapes.Opened:
    ref = _ref_of(name, key) if key else ""
    known = await rooms.store.find_run(ref) if ref else None
    if known is not None:
        await _check_same(rooms, known, name, inputs)
        return shapes.Opened(ref=known.ref, status=known.status.value, known=True)
    run = await open_pipeline(rooms, name, inputs, origin=Origin.API, provenance=FROM_OUTSIDE, ref=ref)
    return shapes.Opened(ref=run.ref, status=run.status.value)


async def open_pipeline(
    rooms: Rooms, name: str, inputs: dict[str, Any], *, origin: Origin, provenance: Provenance, ref: str = ""
) -> Run:
    """Open a run of a pipeline (or a chain, by name or id) and have it carried out; return it.

    Raises NotFound, PipelineWrong, or PlanError for inputs that are missing or wrong.
    """
    dest = await rooms.destination()
    session = await rooms.orchestrator.sessions.open(dest.session_id)
    await rooms.orchestrator.sessions.fetch(session)
    ready = await rooms.pipelines.ready(name, session.profile)
    run = await rooms.orchestrator.open_run(
        session.id,
        f"/run {ready.name}",
        dest,
        ref=ref,
        origin=origin,
        user_id=dest.chat_id,
        title=ready.name,
        given=await asyncio.to_thread(ready.given, inputs, session.workspace),
        source=ready.source,
        provenance=provenance,
    )
    rooms.orchestrator.submit(run)
    return run


async def _check_same(rooms: Rooms, known: Run, name: str, inputs: dict[str, Any]) -> None:
    """Raise Reused when a run was opened with other inputs; a pipeline that is wrong by now can't be compared."""
    try:
        ready: Ready = await rooms.pipelines.ready(name)
        wanted = (await asyncio.to_thread(ready.given, inputs))["inputs"]
    except DirigentError:
        return
    if str(wanted) != str(known.given.get("inputs")):
        raise Reused("This Idempotency-Key was used with other inputs.", hint=f"They opened the run {known.ref}.")


def _ref_of(name: str, key: str) -> str:
    """Return the run's short id that belongs to a key: the same after a crash as before it."""
    return "k" + hashlib.sha256(f"{name}\0{key}".encode()).hexdigest()[:15]
