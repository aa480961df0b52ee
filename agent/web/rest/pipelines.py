"""Pipelines over the API: read, looked at without being run, written and removed. Only the owner's own token writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from pydantic.json_schema import SkipJsonSchema

from agent.errors import NotFound
from agent.web import orders, pipelines
from agent.web.pipeline_shapes import Looked, PipelineShape, WholePipeline
from agent.web.problems import Fault
from agent.web.programs import schema_of
from agent.web.rest.taking import BODY, read, refusing, taking
from agent.web.tokens import REMEDY, Refused

if TYPE_CHECKING:
    from agent.web.rooms import Rooms

BY = "api"
IfMatch = Annotated[
    str | SkipJsonSchema[None],
    Header(alias="If-Match", max_length=200, description="The `ETag` of what is changed or removed."),
]
TAGGED = {"headers": {"ETag": {"description": "Stands for exactly this text.", "schema": {"type": "string"}}}}


def add(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    """Add the routes; what is written runs as the owner's own word, so only a `trusted` caller writes."""
    _looked_at(made, rooms)
    _changed(made, rooms, trusted=trusted)


def _looked_at(made: APIRouter, rooms: Rooms) -> None:
    @made.get("/pipelines")
    async def listed() -> list[PipelineShape]:
        """All pipelines, by name."""
        return await asyncio.to_thread(_all, rooms)

    @made.get("/pipelines/{name}", responses={200: TAGGED, **refusing(404)})
    async def pipeline(name: str, response: Response) -> WholePipeline:
        """A pipeline with its YAML, what it takes, and what is wrong with it."""
        found = await asyncio.to_thread(_whole, rooms, name)
        response.headers["ETag"] = _etag(found.text)
        return found

    @made.post("/pipelines/{name}/check", openapi_extra=taking(orders.PipelineText), responses=BODY)
    async def check(name: str, request: Request) -> Looked:
        """Look at a text as the pipeline of that name: its mistakes, or what it would do. Nothing is run or kept."""
        text = (await read(request, orders.PipelineText)).text
        return await asyncio.to_thread(_looked, rooms, name, text)


def _changed(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.put(
        "/pipelines/{name}",
        openapi_extra=taking(orders.PipelineText),
        responses={
            200: TAGGED,
            201: {"model": WholePipeline, "description": "It is new.", **TAGGED},
            **BODY,
            **refusing(412, 428),
        },
    )
    async def write(name: str, request: Request, response: Response, if_match: IfMatch = None) -> WholePipeline:
        """Write a pipeline, all of it or nothing; one that is there is named by its ETag in `If-Match`."""
        _check(trusted=trusted)
        text = (await read(request, orders.PipelineText)).text
        expected = await _expected(rooms, name, if_match)
        fresh = await pipelines.save(rooms, name, text, BY, made_from=expected)
        response.status_code = 201 if fresh else 200
        response.headers["ETag"] = _etag(text)
        return await asyncio.to_thread(_whole, rooms, name)

    @made.delete("/pipelines/{name}", status_code=204, responses=refusing(404, 409, 412, 428))
    async def remove(name: str, if_match: IfMatch = None) -> None:
        """Remove a pipeline of the home, with the triggers that it declares; its runs stay."""
        _check(trusted=trusted)
        expected = await _expected(rooms, name, if_match)
        await pipelines.remove(rooms, name, BY, made_from=expected)


def _check(*, trusted: bool) -> None:
    if not trusted:
        raise Refused(403, "Only the owner may change pipelines: they run as the owner's own word.", REMEDY)


async def _expected(rooms: Rooms, name: str, if_match: str | None) -> str:
    """Return the tag that a change is made from, "" for nothing. Raises Unmatched where it has to be said."""
    if if_match is not None:
        return if_match.strip().removeprefix("W/").strip('"')
    if await asyncio.to_thread(rooms.pipelines.places().get, name) is not None:
        raise pipelines.Unmatched(
            f"There is a pipeline {name!r}, and the change does not say what it was made from.",
            hint="GET it, and send its ETag as `If-Match`.",
        )
    return ""


def _etag(text: str) -> str:
    return f'"{pipelines.tag_of(text)}"'


def _all(rooms: Rooms) -> list[PipelineShape]:
    return [
        PipelineShape(name=name, plugin=place.plugin, about=rooms.pipelines.described(name))
        for name, place in rooms.pipelines.places().items()
    ]


def _whole(rooms: Rooms, name: str) -> WholePipeline:
    found = pipelines.present(rooms, name)
    if found is None:
        raise NotFound(f"There is no pipeline {name!r}.", hint="GET /api/pipelines lists them.")
    place, text = found
    seen = pipelines.look(rooms, name, text)
    inputs: dict[str, Any] = schema_of(seen.ready.pipeline.inputs) if seen.ready else {}
    return WholePipeline(
        name=name,
        plugin=place.plugin,
        about=rooms.pipelines.described(name),
        text=text,
        inputs=inputs,
        faults=[Fault.of(one) for one in seen.problems],
    )


def _looked(rooms: Rooms, name: str, text: str) -> Looked:
    seen = pipelines.look(rooms, name, text)
    if seen.preview is None:
        return Looked(good=False, faults=[Fault.of(one) for one in seen.problems])
    told = seen.preview
    return Looked(
        good=True,
        faults=[],
        words=told.words,
        steps=told.steps,
        model_calls=told.model_calls,
        tokens=told.tokens,
        cost=told.cost,
    )
