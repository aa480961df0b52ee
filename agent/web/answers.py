"""How refusals and errors look from outside: a status, what happened, and the way on (RFC 9457)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from agent.errors import DirigentError, NotFound, PlanError
from agent.web.guard import TooLarge, TooSlow
from agent.web.opening import Reused
from agent.web.problems import problem
from agent.web.tokens import Refused
from agent.web.words import Changed

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.responses import JSONResponse
    from starlette.requests import Request

CLOSE = {"Connection": "close"}
MOST_SAID = 20
STATUSES = ((NotFound, 404), (Reused, 409), (Changed, 409), (PlanError, 422))


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
    return problem(status, error.message, error.hint, {"Retry-After": "10"} if status == 503 else None)


async def _wrong(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()[:MOST_SAID]]
    return problem(422, "\n".join(said), "GET /api/openapi.json describes what can be sent.")


async def _usual(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _too_large(_request: Request, _error: Exception) -> JSONResponse:
    return problem(413, "A body may have at most 1 MiB.", headers=CLOSE)


async def _too_slow(_request: Request, _error: Exception) -> JSONResponse:
    return problem(408, "The body did not come in time.", headers=CLOSE)
