"""The pages about what runs by itself: triggers, chains, projects, pipelines, events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from agent.errors import NotFound
from agent.web import pipelines
from agent.web.admin.rendering import page
from agent.web.admin.triggering import DOES, WHEN, Fields, fields_of
from agent.web.rest.automation import trigger_called
from agent.web.rest.taking import Before

if TYPE_CHECKING:
    from fastapi import APIRouter

    from agent.domain.trigger import Trigger
    from agent.web.admin.house import House


FIRES_SHOWN, NEXT_SHOWN, EVENTS_SHOWN = 5, 5, 50
NEW = {name: WHEN[name] for name in ("cron", "every", "event", "file", "manual")}
OF_KIND = {
    "schedule": ("cron", "every", "json"),
    "event": ("event", "json"),
    "file": ("file", "json"),
    "manual": ("manual",),
}


def add(made: APIRouter, house: House) -> None:
    """Add the routes."""
    _triggers(made, house)
    _pipelines(made, house)
    _events(made, house)


def _triggers(made: APIRouter, house: House) -> None:
    rooms, store = house.rooms, house.rooms.store

    @made.get("/triggers")
    async def triggers(request: Request) -> Response:
        visit = await house.entry.visit(request)
        return await page(
            house,
            visit,
            "triggers.html",
            "triggers",
            triggers=await store.triggers(),
            chains=[(one, await rooms.chains.history(one.id, FIRES_SHOWN)) for one in await rooms.chains.list()],
            automation=await rooms.automation.status(),
            projects=[await store.project_status(one.name) for one in await store.projects()],
            **await _form(house, Fields(), NEW),
        )

    @made.get("/triggers/{trigger_id}")
    async def trigger(request: Request, trigger_id: str) -> Response:
        visit = await house.entry.visit(request)
        found = await trigger_called(rooms, trigger_id)
        fires = await store.fires_of(trigger_id)
        refs = {fire.run_id: (await store.get_run(fire.run_id)).ref for fire in fires if fire.run_id}
        shown: dict[str, Any] = {
            "trigger": found,
            "fires": fires,
            "refs": refs,
            "upcoming": rooms.upcoming(found, NEXT_SHOWN),
        }
        form = await _form(house, fields_of(found), _choices(found))
        return await page(house, visit, "trigger.html", "triggers", **shown, **form)


def _choices(trigger: Trigger) -> dict[str, str]:
    return {name: WHEN[name] for name in OF_KIND.get(trigger.kind.value, ("json",))}


async def _form(house: House, fields: Fields, choices: dict[str, str]) -> dict[str, Any]:
    names = await asyncio.to_thread(house.rooms.pipelines.names)
    chains = [chain.name for chain in await house.rooms.chains.list()]
    return {"fields": fields, "choices": choices, "does": DOES, "pipelines": [*names, *chains]}


def _pipelines(made: APIRouter, house: House) -> None:
    store = house.rooms.store

    @made.get("/pipelines")
    async def listed(request: Request) -> Response:
        visit = await house.entry.visit(request)
        found = await asyncio.to_thread(_all_pipelines, house)
        outcomes = {name: await store.outcomes(f"pipeline:{name}") for name, _, _ in found}
        return await page(house, visit, "pipelines.html", "pipelines", pipelines=found, outcomes=outcomes)

    @made.get("/pipelines/{name}")
    async def pipeline(request: Request, name: str) -> Response:
        visit = await house.entry.visit(request)
        shown = await asyncio.to_thread(pipeline_view, house, name)
        runs = await store.runs_of(f"pipeline:{name}", FIRES_SHOWN)
        return await page(house, visit, "pipeline.html", "pipelines", runs=runs, **shown)


def _all_pipelines(house: House) -> list[tuple[str, str, str]]:
    pipelines = house.rooms.pipelines
    return [(name, place.plugin, pipelines.described(name)) for name, place in pipelines.places().items()]


def pipeline_view(house: House, name: str, text: str | None = None, problems: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what the page of a pipeline shows: `text` is what was typed, None for what the file says."""
    found = pipelines.present(house.rooms, name)
    if found is None and text is None:
        raise NotFound(f"There is no pipeline {name!r}.", hint="The list has all of them.")
    place, kept = found or (None, "")
    written = kept if text is None else text
    seen = pipelines.look(house.rooms, name, written)
    return {
        "name": name,
        "text": written,
        "plugin": place.plugin if place else "",
        "known": place is not None,
        "made_from": pipelines.tag_of(kept) if place else "",
        "problems": [*problems, *seen.problems],
        "preview": seen.preview,
        "inputs": seen.ready.pipeline.inputs if seen.ready else {},
    }


def _events(made: APIRouter, house: House) -> None:
    store = house.rooms.store

    @made.get("/events")
    async def events(
        request: Request,
        status: Literal["", "new", "handled", "dead"] = "",
        before: Before = 0,
    ) -> Response:
        visit = await house.entry.visit(request)
        found = await store.newest_events(EVENTS_SHOWN, status=status, before=before)
        return await page(house, visit, "events.html", "events", events=found, chosen=status, most=EVENTS_SHOWN)
