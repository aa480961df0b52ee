"""How refusals and errors look from outside: a status, what happened, and the way on (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from agent.errors import DirigentError, NameTaken, NotFound, PlanError
from agent.web.guard import TooLarge, TooSlow
from agent.web.opening import Reused
from agent.web.pipelines import Stale, Unmatched
from agent.web.problems import problem
from agent.web.tokens import Refused
from agent.web.words import Changed

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse
    from starlette.requests import Request

CLOSE = {"Connection": "close"}
MOST_SAID = 20
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
CONFLICTS = (Reused, Changed, NameTaken)
STATUSES = ((NotFound, 404), (CONFLICTS, 409), (Stale, 412), (PlanError, 422), (Unmatched, 428))


def answer_errors(made: FastAPI) -> None:
    """Have an application's errors answered."""
    made.add_exception_handler(Refused, _refused)
    made.add_exception_handler(DirigentError, _failed)
    made.add_exception_handler(TooLarge, _too_large)
    made.add_exception_handler(TooSlow, _too_slow)
    made.add_exception_handler(RequestValidationError, _wrong)
    made.add_exception_handler(HTTPException, _usual)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return problem(
        error.status, error.said, error.hint, {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    )


async def _failed(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DirigentError)
    usual = 503 if error.transient else 400
    status = next((number for kind, number in STATUSES if isinstance(error, kind)), usual)
    faults = error.problems if isinstance(error, PlanError) else ()
    return problem(status, error.message, error.hint, {"Retry-After": "10"} if status == 503 else None, faults)


async def _wrong(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()[:MOST_SAID]]
    return problem(422, "\n".join(said), "GET /api/openapi.json describes what can be sent.")


async def _usual(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else None
    return problem(error.status_code, str(error.detail), headers=headers or error.headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods of an address: each is a route of its own, and the library names those of the first alone."""
    asked = [(method, {**request.scope, "method": method}) for method in METHODS]
    routes = request.app.router.routes
    return [method for method, scope in asked if any(route.matches(scope)[0] is Match.FULL for route in routes)]


async def _too_large(_request: Request, _error: Exception) -> JSONResponse:
    return problem(413, "A body may have at most 1 MiB.", headers=CLOSE)


async def _too_slow(_request: Request, _error: Exception) -> JSONResponse:
    return problem(408, "The body did not come in time.", headers=CLOSE)
