"""What runs by itself, over the API: the switch, triggers, events, chains, projects."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter, Request
from pydantic.json_schema import SkipJsonSchema

from agent.domain.event import Event
from agent.domain.trigger import Misfire, Overlap, Trigger, TriggerKind
from agent.errors import NotFound
from agent.web import orders, shapes
from agent.web.opening import label
from agent.web.rest.taking import BODY, Before, Limit, read, refusing, taking
from agent.web.tokens import REMEDY, Refused
from agent.web.words import Changed

if TYPE_CHECKING:
    from pydantic import BaseModel

    from agent.web.rooms import Rooms


def add(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    """Add the routes; requests of triggers and events are the owner's own words when the caller is `trusted`."""
    _switch(made, rooms)
    _lists(made, rooms)
    _triggers(made, rooms, trusted=trusted)
    _acts(made, rooms)
    _events(made, rooms, trusted=trusted)
    _chains(made, rooms)
    _projects(made, rooms)


async def trigger_called(rooms: Rooms, trigger_id: str) -> Trigger:
    """Return a trigger. Raises NotFound."""
    found = await rooms.store.get_trigger(trigger_id)
    if found is None:
        raise NotFound(f"There is no trigger {trigger_id!r}.", hint="The list has all of them.")
    return found


async def event_called(rooms: Rooms, number: str) -> Event:
    """Return an event by its number. Raises NotFound."""
    found = await rooms.store.event_numbered(int(number)) if number.isdecimal() and len(number) < 16 else None
    if found is None:
        raise NotFound("There is no such event.")
    return found


def _switch(made: APIRouter, rooms: Rooms) -> None:
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
    @made.get("/chains")
    async def chains() -> list[shapes.ChainShape]:
        """All chains with their newest executions."""
        return [shapes.ChainShape.of(one, await rooms.chains.history(one.id, 5)) for one in await rooms.chains.list()]

    @made.get("/triggers")
    async def triggers() -> list[shapes.TriggerShape]:
        """All triggers, oldest first."""
        return [shapes.TriggerShape.of(trigger) for trigger in await rooms.store.triggers()]

    @made.get("/triggers/{trigger_id}", responses=refusing(404))
    async def trigger(trigger_id: str) -> shapes.TriggerShape:
        """A trigger."""
        return shapes.TriggerShape.of(await trigger_called(rooms, trigger_id))

    @made.get("/triggers/{trigger_id}/fires", responses=refusing(404, 422))
    async def fires(trigger_id: str, limit: Limit = 20) -> list[shapes.FireShape]:
        """When a trigger fired and what came of it, newest first."""
        await trigger_called(rooms, trigger_id)
        found = await rooms.store.fires_of(trigger_id, limit)
        refs = {one.run_id: (await rooms.store.get_run(one.run_id)).ref for one in found if one.run_id}
        return [shapes.FireShape.of(one, refs.get(one.run_id or 0, "")) for one in found]

    @made.get("/events", responses=refusing(422))
    async def events(
        status: Literal["new", "handled", "dead"] | SkipJsonSchema[None] = None, limit: Limit = 20, before: Before = 0
    ) -> list[shapes.EventShape]:
        """Events, newest first."""
        found = await rooms.store.newest_events(limit, status=status or "", before=before)
        return [shapes.EventShape.of(event) for event in found]


def _triggers(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.post("/triggers", status_code=201, openapi_extra=taking(orders.NewTrigger), responses=BODY)
    async def create(request: Request) -> shapes.TriggerShape:
        """Make a trigger."""
        wanted = (await read(request, orders.NewTrigger)).root
        _check_spec(wanted.spec, trusted=trusted)
        dest = await rooms.destination()
        trigger = Trigger(
            id=f"a{secrets.token_hex(4)}",
            name=wanted.name,
            kind=TriggerKind(wanted.kind),
            spec=_as_sent(wanted.spec),
            target=_as_sent(wanted.target),
            session_id=dest.session_id,
            dest=dest,
            created_by=dest.chat_id,
            trusted=trusted,
            **_terms(wanted),
        )
        return shapes.TriggerShape.of(await rooms.automation.create(trigger))

    @made.patch(
        "/triggers/{trigger_id}", openapi_extra=taking(orders.TriggerChange), responses={**BODY, **refusing(404)}
    )
    async def change(trigger_id: str, request: Request) -> shapes.TriggerShape:
        """Change a trigger; its history stays."""
        wanted = await read(request, orders.TriggerChange)
        if "approval" in wanted.model_fields_set and not trusted:
            raise Refused(403, "Only the owner may change what is asked before it begins.", REMEDY)
        _check_spec(wanted.spec, trusted=trusted)
        given = wanted.model_fields_set
        changes: dict[str, Any] = {"name": wanted.name} if "name" in given else {}
        changes |= {name: _as_sent(getattr(wanted, name)) for name in ("spec", "target") if name in given}
        changes |= {"trusted": False} if "target" in changes and not trusted else {}
        return shapes.TriggerShape.of(await rooms.automation.update(trigger_id, **changes, **_terms(wanted)))

    @made.delete("/triggers/{trigger_id}", status_code=204, responses=refusing(404))
    async def delete(trigger_id: str) -> None:
        """Delete a trigger with its history; its runs stay."""
        await rooms.automation.delete(trigger_id)


def _as_sent(what: BaseModel) -> dict[str, Any]:
    return what.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _check_spec(spec: BaseModel, *, trusted: bool) -> None:
    """Raise Refused where somebody else than the owner vouches for files, events or calls."""
    if getattr(spec, "trusted", False) and not trusted:
        raise Refused(403, "Only the owner may trust what comes in by a trigger.", REMEDY)


def _terms(wanted: orders.TriggerTerms) -> dict[str, Any]:
    kinds = {"misfire": Misfire, "overlap": Overlap}
    given = {
        name: getattr(wanted, name) for name in orders.TriggerTerms.model_fields if name in wanted.model_fields_set
    }
    return {name: kinds[name](value) if name in kinds else value for name, value in given.items()}


def _acts(made: APIRouter, rooms: Rooms) -> None:
    automation = rooms.automation

    @made.post("/triggers/{trigger_id}/enable", responses=refusing(400, 404))
    async def enable(trigger_id: str) -> shapes.TriggerShape:
        """Switch a trigger on; its next time is counted from now."""
        return shapes.TriggerShape.of(await automation.enable(trigger_id))

    @made.post("/triggers/{trigger_id}/disable", responses=refusing(404))
    async def disable(trigger_id: str) -> shapes.TriggerShape:
        """Switch a trigger off."""
        return shapes.TriggerShape.of(await automation.disable(trigger_id))

    @made.post("/triggers/{trigger_id}/fire", status_code=202, responses=refusing(400, 404))
    async def fire(trigger_id: str) -> shapes.FireShape:
        """Fire by hand, also a trigger that is off."""
        made_now = await automation.fire(trigger_id)
        run = await rooms.store.get_run(made_now.run_id) if made_now.run_id else None
        return shapes.FireShape.of(made_now, run.ref if run is not None else "")


def _events(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.post(
        "/events",
        status_code=202,
        openapi_extra=taking(orders.NewEvent),
        responses={200: {"model": shapes.EventShape, "description": "It came before."}, **BODY},
    )
    async def publish(request: Request) -> Any:
        """Publish an event. With the same key again, nothing happens (200)."""
        from fastapi.responses import JSONResponse

        wanted = await read(request, orders.NewEvent)
        key = wanted.key or secrets.token_hex(8)
        event = Event(
            wanted.type, "api", f"api:{key}", wanted.payload, project=wanted.project, provenance=label(trusted=trusted)
        )
        fresh = await rooms.automation.publish(event)
        stored = await rooms.store.get_event(event.key)
        assert stored is not None, event.key
        return JSONResponse(shapes.EventShape.of(stored).model_dump(mode="json"), 202 if fresh else 200)

    @made.post("/events/{event_id}/retry", responses=refusing(404, 409))
    async def retry(event_id: str) -> shapes.Said:
        """Have a dead event handled again."""
        if not await rooms.automation.retry(await event_called(rooms, event_id)):
            raise Changed("It is not dead any more.")
        return shapes.Said(said="It is tried again.")

    @made.post("/events/{event_id}/drop", responses=refusing(404, 409))
    async def drop(event_id: str) -> shapes.Said:
        """Do nothing any more about an event."""
        if not await rooms.automation.drop(await event_called(rooms, event_id)):
            raise Changed("It has been handled already.")
        return shapes.Said(said="Dropped.")


def _chains(made: APIRouter, rooms: Rooms) -> None:
    @made.post(
        "/chains", status_code=201, openapi_extra=taking(orders.NewChain), responses={**BODY, **refusing(404, 409)}
    )
    async def create(request: Request) -> shapes.ChainShape:
        """Make a chain of pipelines, carried out one after the other."""
        wanted = await read(request, orders.NewChain)
        chain = await rooms.chains.create_chain(wanted.name, wanted.workflows)
        return shapes.ChainShape.of(chain, await rooms.chains.history(chain.id, 5))

    @made.delete("/chains/{name}", status_code=204, responses=refusing(404))
    async def delete(name: str) -> None:
        """Delete a chain, by name or id; its runs stay."""
        await rooms.chains.delete_chain(name)


def _projects(made: APIRouter, rooms: Rooms) -> None:
    async def shape(name: str) -> shapes.ProjectShape:
        status = await rooms.store.project_status(name)
        if status is None:
            raise NotFound(f"There is no project {name!r}.", hint="GET /api/projects lists them.")
        return shapes.ProjectShape.of(status)

    @made.get("/projects")
    async def projects() -> list[shapes.ProjectShape]:
        """All projects, oldest first."""
        return [await shape(one.name) for one in await rooms.store.projects()]

    @made.post("/projects/{name}/pause", responses=refusing(404))
    async def pause(name: str) -> shapes.ProjectShape:
        """Keep a project's events as they are, until it is resumed."""
        await rooms.automation.pause_project(name, paused=True)
        return await shape(name)

    @made.post("/projects/{name}/resume", responses=refusing(404))
    async def resume(name: str) -> shapes.ProjectShape:
        """Go on with a project's events, in order."""
        await rooms.automation.pause_project(name, paused=False)
        return await shape(name)

    @made.put("/projects/{name}/budget", openapi_extra=taking(orders.Budget), responses={**BODY, **refusing(404)})
    async def budget(name: str, request: Request) -> shapes.ProjectShape:
        """Set what a project may spend, in US dollars; null is no limit."""
        await set_budget(rooms, name, (await read(request, orders.Budget)).money)
        return await shape(name)


async def set_budget(rooms: Rooms, name: str, money: float | None) -> None:
    """Set what a project may spend, in US dollars (None: no limit). Raises NotFound."""
    from dataclasses import replace

    project = await rooms.store.get_project(name)
    if project is None:
        raise NotFound(f"There is no project {name!r}.")
    await rooms.store.put_project(replace(project, budget=money))
