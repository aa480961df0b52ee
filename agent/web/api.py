"""The REST API under `/api`, all by token. One token does everything, another one only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request

from agent.web import orders
from agent.web.problems import Problem
from agent.web.rest import accounts, automation, people, pipelines, runs, sessions
from agent.web.rest.links import add_links
from agent.web.rest.taking import REF, problem
from agent.web.tokens import check_token

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import BaseModel

    from agent.web.rooms import Rooms

ANSWERS: dict[int | str, dict[str, Any]] = {
    401: problem("no token, or a wrong one"),
    403: problem("no token is set, or this one only reads"),
    421: {"description": "the server does not go by that name", "content": {"text/plain": {}}},
    429: {"description": "too many requests at once", "content": {"text/plain": {}}},
    503: problem("not now; try again"),
}
PREFIX = "/api"
ABOUT = """\
Every call shows `web.token` (or `web.read_token`, for GET alone) as `Authorization: Bearer TOKEN`. Times are seconds
since 1970, money is in US dollars. Lists come newest first where they grow; `before` and `limit` page through them.
Errors are RFC 9457 problems with `hint`, the way on. What is sent is not trusted like the owner's own words, and what
waits for the owner is decided by them, unless `web.token_decides` counts the token's keeper as the owner."""


def router(rooms: Rooms, token: str, *, read_token: str = "", decides: bool = False) -> APIRouter:
    """Return the routes. Every one asks for the token first; with an empty `token` they are off and say so.

    `read_token` opens the routes that only show. `decides` counts whoever shows `token` as the owner.
    """

    async def keeper(request: Request) -> None:  # a coroutine: others would be called in a thread
        check_token(request, token, read_token)

    made = APIRouter(prefix=PREFIX, dependencies=[Depends(keeper)], responses=ANSWERS)
    runs.add(made, rooms, trusted=decides)
    people.add(made, rooms, trusted=decides)
    automation.add(made, rooms, trusted=decides)
    pipelines.add(made, rooms, trusted=decides)
    sessions.add(made, rooms, trusted=decides)
    accounts.add(made, rooms)

    @made.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> dict[str, Any]:
        return described(request.app)

    return made


def described(application: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the API: its routes alone, with the way in and what errors look like."""
    from fastapi.openapi.utils import get_openapi
    from pydantic.json_schema import models_json_schema

    api = [route for route in application.routes if _is_api(route)]
    made: dict[str, Any] = get_openapi(title="Dirigent", version="1", description=ABOUT, routes=api)
    parts = made.setdefault("components", {})
    taken: list[type[BaseModel]] = [Problem, *orders.all_taken()]
    _, written = models_json_schema([(one, "validation") for one in taken], ref_template=REF)
    parts.setdefault("schemas", {}).update(written["$defs"])
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"token": []}]
    for operations in made["paths"].values():
        for operation in operations.values():
            wrong = operation["responses"].get("422", {})
            if "HTTPValidationError" in str(wrong):
                operation["responses"]["422"] = problem("what was sent is not right")
    add_links(made, PREFIX)
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    return made


def _is_api(route: Any) -> bool:
    router = getattr(route, "original_router", None)  # included routers are kept as they are
    return str(getattr(route, "path", "") if router is None else router.prefix).startswith(PREFIX)
